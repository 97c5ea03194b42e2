#!/bin/bash
# The emulated host's first program: file systems, modules and an interface, then the agent below a reaper.
export PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin HOME=/root TERM=dumb LANG=C.UTF-8
mount -t proc proc /proc
mount -t sysfs sys /sys
mountpoint -q /dev || mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
ln -sfn /proc/self/fd /dev/fd
for name in 0:stdin 1:stdout 2:stderr; do ln -sf "/proc/self/fd/${name%:*}" "/dev/${name#*:}"; done
mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs -o mode=1777 shm /dev/shm
mount -t tmpfs -o mode=755 run /run
mount -t tmpfs -o mode=1777,size=2g tmp /tmp
mount -t cgroup2 cgroup /sys/fs/cgroup
mkdir -p /run/lock /io /checkout
hostname bottle-host

ip link set lo up
modprobe -a $(cat /opt/host/modules)
chmod 666 /dev/kvm
# A route that leads nowhere: what a guest must not reach is unreachable by rule, not by want of a route.
ip link add name lan type dummy
ip address add 10.9.9.1/24 dev lan
ip link set lan up
ip route add default dev lan

echo "bottle-host: up after $(cut -d' ' -f1 /proc/uptime) s"
exec tini -- node /opt/host/agent.mjs
