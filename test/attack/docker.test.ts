// Attempts from inside a container's bottle to reach the network, the host, the engine and another bottle, while the host listens
// on everything that an attacker would look for. With the engine's default runtime, and with gVisor where that is registered.
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ABSTRACT, AttackHost } from "../support/attack-host.ts";
import { type AttackWorld, openAttackWorld } from "../support/attack-world.ts";
import { testBase } from "../support/docker.ts";
import { requires } from "../support/requires.ts";

const NO_ROUTE = /^(ENETUNREACH|EHOSTUNREACH|EADDRNOTAVAIL|EINVAL|ECONNREFUSED|EACCES|EPERM)$/;
const bottleOn = (runtime: string): string =>
  `backend: docker\nruntime: ${runtime}\nagent_provider: { template: command, settings: { argv: [/bin/true] } }`;

describe.each([
  ["runc", requires("docker", "perl")],
  ["runsc", requires("docker", "runsc", "perl")],
] as const)("the neighbourhood of a container under %s", (runtime, required) => {
  describe("is empty", required, () => {
    let host: AttackHost;
    let world: AttackWorld;
    beforeAll(async () => {
      host = await new AttackHost().open();
      const bottle = bottleOn(runtime);
      world = await openAttackWorld({
        mode: "root",
        bottles: { one: bottle, two: bottle },
        env: { BOT_BOTTLE_IMAGE: testBase() },
        node: "node",
        programs: ["/usr/bin/perl"],
      });
      await world.ask("listen", { port: 18_080 }, 1);
      await world.ask("listen", { path: `\0${ABSTRACT}-two` }, 1);
      await world.ask("listen", { path: "/tmp/two.sock" }, 1);
      await world.ask("write", { path: "/dev/shm/two", text: "memory of two" }, 1);
    });
    afterAll(async () => {
      await world?.[Symbol.asyncDispose]();
      await host?.[Symbol.asyncDispose]();
    });
    const outcome = async (op: string, options: object): Promise<string> =>
      (await world.ask(op, options)).outcome ?? "";

    it("but for the doors that work", async () => {
      const doors = "/run/bot-bottle/doors";
      expect(await outcome("connect", { host: "egress", port: 9099 })).toBe("connected");
      expect(await outcome("connect", { path: `${doors}/proxy.sock` })).toBe("connected");
      expect(await outcome("list", { path: doors })).toBe("proxy.sock");
      expect(await outcome("write", { path: `${doors}/x`, text: "x" })).toMatch(/EROFS|EACCES/);
      for (const port of [1, 22, 53, 80, 443, 2375, 2376, 9100, 9418, 9420])
        expect([port, await outcome("connect", { host: "127.0.0.1", port })]).toEqual([
          port,
          "ECONNREFUSED",
        ]);
    });

    it.each([
      "1.1.1.1",
      "10.0.0.1",
      "172.17.0.1",
      "172.17.0.2",
      "192.168.1.1",
      "169.254.169.254",
      "100.100.100.200",
      "224.0.0.251",
      "127.0.0.11",
      "2606:4700:4700::1111",
      "fe80::1",
      "fd00:ec2::254",
      "::ffff:169.254.169.254",
    ])("leads to nowhere: %s", async (address) => {
      for (const port of [80, 443, 53])
        expect(await outcome("connect", { host: address, port })).toMatch(NO_ROUTE);
      expect(await outcome("udp", { host: address, port: 53, data: "x" })).not.toBe("answered");
    });

    it("asks no name of anybody", async () => {
      for (const name of ["example.com", "host.docker.internal", "gateway.docker.internal"])
        expect(await outcome("look", { name })).toMatch(/^(ENOTFOUND|EAI_AGAIN)$/);
      for (const server of ["8.8.8.8", "127.0.0.11", "127.0.0.53", "172.17.0.1"])
        expect(await outcome("look", { name: "data.attacker.test", server })).toMatch(
          /^(ECONNREFUSED|ETIMEOUT|ESERVFAIL|EREFUSED)$/,
        );
    });

    it("reaches no listener and no socket of the host", async () => {
      const own = host.addresses.slice(0, 6);
      const ports = [...host.ports].filter(([name]) => name !== "udp").map(([, port]) => port);
      for (const port of ports)
        for (const address of ["127.0.0.1", "0.0.0.0", "::1", ...own])
          expect([address, port, await outcome("connect", { host: address, port })]).toEqual([
            address,
            port,
            expect.stringMatching(NO_ROUTE),
          ]);
      expect(await outcome("connect", { path: `\0${ABSTRACT}` })).toBe("ECONNREFUSED");
      const sockets = [
        "/var/run/docker.sock",
        "/run/docker.sock",
        "/run/containerd/containerd.sock",
      ];
      for (const path of [...sockets, join(host.directory, "host.sock")])
        expect([path, await outcome("connect", { path })]).toEqual([path, "ENOENT"]);
      expect(host.visits).toEqual([]);
    });

    it("has no device that leads out, and makes none", async () => {
      // gVisor has a tunnel device of its own, with nothing behind it: reading it is EBADFD.
      const refusal = /^(ENOENT|EACCES|EPERM|Unknown system error -77)$/;
      for (const name of ["kvm", "net/tun", "vhost-net", "vhost-vsock", "vsock", "fuse", "mem"])
        expect([name, await outcome("read", { path: `/dev/${name}` })]).toEqual([
          name,
          expect.stringMatching(refusal),
        ]);
      const made = "mknod /tmp/sda b 8 0 || mknod /tmp/mem c 1 1 || mknod /home/node/kmsg c 1 11";
      expect((await world.sh(made)).code).not.toBe(0);
    });

    it.each([
      ["raw IPv4, ICMP", "2, 3, 1"],
      ["raw IPv6, ICMP", "10, 3, 58"],
      ["packet", "17, 3, 0x0300"],
      ["vsock", "40, 1, 0"],
      ["vsock as the kernel reads it", "0x100000028, 1, 0"],
      ["kernel crypto", "38, 5, 0"],
      ["netlink netfilter", "16, 3, 12"],
      ["bluetooth", "31, 3, 1"],
      ["SCTP", "2, 1, 132"],
      ["SCTP by its type", "2, 5, 0"],
      ["DCCP", "10, 6, 33"],
      ["MPTCP", "2, 1, 262"],
      ["UDP-Lite", "10, 2, 136"],
    ])("opens no socket: %s", async (_name, numbers) => {
      const script = `print "tried"; socket(my $s, ${numbers}) and print " and opened"`;
      expect((await world.run(["/driver/perl", "-e", script])).stdout).toBe("tried");
    });

    it("has one interface, which it cannot change, and gets no new namespace", async () => {
      expect((await world.sh("ls /sys/class/net 2>/dev/null || echo lo")).stdout).toBe("lo\n");
      const { stdout = "" } = await world.sh(
        "for c in 'ip link add d0 type dummy' 'ip addr add 10.9.8.7/24 dev lo' 'ip link set lo down' 'mount -t tmpfs x /mnt' 'mount -o remount,rw /' 'chroot / true' 'unshare -U true' 'unshare -n true' 'nsenter -t 1 -n true' 'sysctl -w kernel.core_pattern=x'; do $c 2>/dev/null && echo \"DONE $c\"; done; true",
      );
      // gVisor's user namespaces are its own: the host's kernel makes none.
      const isOwnKernel = runtime === "runsc";
      expect(stdout).not.toMatch(isOwnKernel ? /DONE (?!unshare -U)/ : /DONE/);
      const write =
        'for f in /proc/sys/kernel/core_pattern /proc/sysrq-trigger /sys/fs/cgroup/x /sys/kernel/uevent_helper; do (echo x >$f) 2>/dev/null && echo "WROTE $f"; done; true';
      expect((await world.sh(write)).stdout).toBe("");
    });

    it("shows nothing of another bottle", async () => {
      expect((await world.ask("connect", { host: "127.0.0.1", port: 18_080 }, 1)).outcome).toBe(
        "connected",
      );
      expect(await outcome("connect", { host: "127.0.0.1", port: 18_080 })).toBe("ECONNREFUSED");
      expect(await outcome("connect", { path: `\0${ABSTRACT}-two` })).toBe("ECONNREFUSED");
      expect(await outcome("connect", { path: "/tmp/two.sock" })).toBe("ENOENT");
      expect(await outcome("read", { path: "/dev/shm/two" })).toBe("ENOENT");
      for (const path of Object.values(world.bottles[1] ?? {}).filter(
        (it) => String(it)[0] === "/",
      ))
        expect([path, await outcome("read", { path })]).toEqual([path, "ENOENT"]);
      const { stdout = "" } = await world.sh("ls /proc | grep -c '^[0-9]'");
      expect(Number(stdout)).toBeLessThan(12);
    });

    it("leaves the guest nothing of the engine's or the launcher's", async () => {
      const { stdout = "" } = await world.sh(
        "cat /proc/*/environ /proc/*/cmdline /proc/self/mountinfo 2>/dev/null | tr '\\0' '\\n'",
      );
      expect(stdout).not.toContain("launcher-environment-canary");
      expect(stdout).not.toContain("docker.sock");
      expect(readdirSync(join(world.bottles[0]?.run ?? "", "doors"))).toEqual(["proxy.sock"]);
    });

    it("ends with nothing left on the engine", async () => {
      await world.close();
      expect(world.closed).toEqual([
        { failures: 0, fault: "undefined" },
        { failures: 0, fault: "undefined" },
      ]);
      expect(host.visits).toEqual([]);
    });
  });
});
