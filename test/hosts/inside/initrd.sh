#!/bin/busybox sh
# Loads what the root file system needs, in the order of the list, and hands over to it.
b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t devtmpfs dev /dev
for module in $($b cat /modules/order); do $b insmod "/modules/$module"; done
tries=0
until [ -b /dev/vda ] || [ $tries -ge 200 ]; do
  $b usleep 20000
  tries=$((tries + 1))
done
$b mount -t ext4 -o noatime /dev/vda /root || { echo "initrd: no root file system on /dev/vda" && exit 1; }
$b umount /proc
$b mount -o move /dev /root/dev
exec $b switch_root /root /opt/host/init.sh
