// Attempts from inside a machine's bottle to reach the network, the host, the machine monitor and another bottle, while the host
// listens on everything that an attacker would look for; runs inside of the emulated host, with the real bundle.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ABSTRACT, AttackHost } from "../../support/attack-host.ts";
import { type AttackWorld, openAttackWorld } from "../../support/attack-world.ts";

const NO_ROUTE = /^(ENETUNREACH|EHOSTUNREACH|EADDRNOTAVAIL|EINVAL|ECONNREFUSED|EACCES|EPERM)$/;
const PROGRAMS = join(import.meta.dirname, "../fixtures/programs");
const BOTTLE = [
  "backend: smolmachines",
  "agent_provider: { template: command, settings: { argv: [/bin/true] } }",
  "limits: { cpus: 1, memory: 512MiB, processes: 64 }",
].join("\n");

describe("the neighbourhood of a machine", () => {
  let host: AttackHost;
  let world: AttackWorld;
  beforeAll(async () => {
    host = await new AttackHost().open();
    const { BOT_BOTTLE_IMAGE = "", BOT_BOTTLE_SMOLVM = "" } = process.env;
    world = await openAttackWorld({
      mode: "root",
      bottles: { one: BOTTLE, two: BOTTLE },
      env: { BOT_BOTTLE_IMAGE, BOT_BOTTLE_SMOLVM },
      node: "node",
      programs: ["vsock-scan.pl", "vsock-root.pl"].map((it) => join(PROGRAMS, it)),
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

  it("has doors that work and nothing else on its loopback", async () => {
    expect(await outcome("connect", { host: "127.0.0.1", port: 9099 })).toBe("connected");
    expect(await outcome("connect", { host: "egress", port: 9099 })).toBe("connected");
    for (const port of [1, 9, 22, 53, 80, 443, 2375, 2376, 5000, 6000, 9100, 9418, 9420])
      expect([port, await outcome("connect", { host: "127.0.0.1", port })]).toEqual([
        port,
        "ECONNREFUSED",
      ]);
  });

  it("leads to nowhere, whatever the address", async () => {
    for (const address of [
      "1.1.1.1",
      "10.0.0.1",
      "10.9.9.1",
      "100.96.0.1",
      "172.17.0.1",
      "192.168.1.1",
      "192.168.127.1",
      "203.0.113.1",
      "169.254.169.254",
      "100.100.100.200",
      "224.0.0.251",
      "255.255.255.255",
      "2606:4700:4700::1111",
      "fe80::1",
      "fd00:ec2::254",
      "::ffff:169.254.169.254",
    ]) {
      for (const port of [80, 443, 53])
        expect([address, await outcome("connect", { host: address, port })]).toEqual([
          address,
          expect.stringMatching(NO_ROUTE),
        ]);
      expect(await outcome("udp", { host: address, port: 53, data: "x" })).not.toBe("answered");
    }
  });

  it("asks no name of anybody", async () => {
    for (const name of ["example.com", "host.docker.internal", "gateway.containers.internal"])
      expect(await outcome("look", { name })).toMatch(/^(ENOTFOUND|EAI_AGAIN)$/);
    for (const server of ["8.8.8.8", "10.255.255.53", "100.96.0.1", "127.0.0.53"])
      expect(await outcome("look", { name: "data.attacker.test", server })).toMatch(
        /^(ECONNREFUSED|ETIMEOUT|ESERVFAIL|EREFUSED)$/,
      );
  });

  it("reaches no listener and no socket of the host", async () => {
    const ports = [...host.ports].filter(([name]) => name !== "udp").map(([, port]) => port);
    for (const port of ports)
      for (const address of ["127.0.0.1", "127.0.0.2", "0.0.0.0", "::1", ...host.addresses])
        expect([address, port, await outcome("connect", { host: address, port })]).toEqual([
          address,
          port,
          expect.stringMatching(NO_ROUTE),
        ]);
    const udp = host.ports.get("udp");
    for (const address of ["127.0.0.1", "127.255.255.255", ...host.addresses])
      await outcome("udp", { host: address, port: udp, data: "from the guest" });
    expect(await outcome("connect", { path: `\0${ABSTRACT}` })).toBe("ECONNREFUSED");
    for (const path of [
      "/var/run/docker.sock",
      "/run/docker.sock",
      "/run/containerd/containerd.sock",
      join(host.directory, "host.sock"),
    ])
      expect([path, await outcome("connect", { path })]).toEqual([path, "ENOENT"]);
    expect(host.visits).toEqual([]);
  });

  it("has no device that leads out, and makes none", async () => {
    for (const name of [
      ...["kvm", "vhost-net", "vhost-vsock", "vsock", "fuse", "mem", "port"],
      ...["vda", "vdb", "vport0p1", "hvc0", "net/tun", "dri/card0", "loop-control"],
    ])
      expect([name, await outcome("read", { path: `/dev/${name}` })]).toEqual([
        name,
        expect.stringMatching(/^(ENOENT|EACCES|EPERM|EBADFD|Unknown system error -77)$/),
      ]);
    const made = "mknod /tmp/vda b 254 0 || mknod /tmp/mem c 1 1 || mknod /home/node/kmsg c 1 11";
    expect((await world.sh(made)).code).not.toBe(0);
  });

  for (const [name, numbers] of [
    ["raw IPv4, ICMP", "2, 3, 1"],
    ["raw IPv6, ICMP", "10, 3, 58"],
    ["packet", "17, 3, 0x0300"],
    ["bluetooth", "31, 3, 1"],
  ] as const)
    it(`opens no socket: ${name}`, async () => {
      const script = `print "tried"; socket(my $s, ${numbers}) and print " and opened"`;
      expect((await world.run(["perl", "-e", script])).stdout).toBe("tried");
    });

  it("reaches nobody outside over vsock: not the host, not the monitor", async () => {
    for (const [context, from, to] of [
      [2, 1, 600],
      [2, 1024, 1100],
      [2, 6000, 6100],
      [2, 9000, 9500],
      [0, 6000, 6010],
      [4, 6000, 6010],
    ]) {
      const argv = ["perl", "/driver/vsock-scan.pl", `${context}`, `${from}`, `${to}`];
      expect((await world.run(argv)).stdout).toBe("tried, open:\n");
    }
  });

  it("gains nothing where it becomes the machine's root through smolvm's own agent", async () => {
    const asRoot = async (command: string): Promise<string> =>
      (await world.run(["perl", "/driver/vsock-root.pl", "6000", command], { timeoutMs: 90_000 }))
        .stdout ?? "";
    // smolvm asks nobody who he is; where a later one does, there is nothing to gain either.
    expect(await asRoot("id -u")).toMatch(/^(?:0|no .*|refused: .*)\n$/);
    const devices = (await asRoot("ls /sys/class/net")).split("\n");
    expect(devices.filter((it) => !/^(?:lo|dummy0|no .*|refused: .*|)$/.test(it))).toEqual([]);
    const address =
      "ip link set dummy0 up; ip addr add 10.9.9.2/24 dev dummy0; ip route add default dev dummy0";
    await asRoot(address);
    const [port = 0] = host.ports.values();
    for (const target of ["10.9.9.1", "127.0.0.1", "192.0.2.1"])
      expect(await asRoot(`nc -w 2 ${target} ${port} </dev/null && echo REACHED`)).not.toContain(
        "REACHED",
      );
    // Shares that are read-only are so for the device, not only for the mount.
    const write =
      "mkdir -p /tmp/m; for tag in $(grep virtiofs /proc/mounts | cut -d' ' -f1 | sort -u) smolvm_layers; do mount -t virtiofs -o rw $tag /tmp/m && { test -w /tmp/m/guest-init.js && (echo x >>/tmp/m/guest-init.js) 2>/dev/null && echo WROTE guest-init; (echo x >/tmp/m/hosts) 2>/dev/null && echo WROTE etc; (echo x >/tmp/m/usr/poison) 2>/dev/null && echo WROTE image; umount /tmp/m; }; done; (echo x >/oldroot/poison) 2>/dev/null && echo WROTE agent; true";
    expect(await asRoot(write)).not.toContain("WROTE image");
    expect(await asRoot(write)).not.toContain("WROTE agent");
    expect(await asRoot(write)).not.toContain("WROTE guest-init");
    expect(host.visits).toEqual([]);
  });

  it("is run by an ordinary user without rights, who gets none", async () => {
    const { stdout = "" } = await world.sh("id -u; grep -E '^(Cap|NoNewPrivs)' /proc/self/status");
    const [uid, ...lines] = stdout.trim().split("\n");
    expect(Number(uid)).toBeGreaterThan(0);
    expect(lines.map((line) => line.split("\t").join(" "))).toEqual([
      ...["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"].map((it) => `${it}: ${"0".repeat(16)}`),
      "NoNewPrivs: 1",
    ]);
    const tried = await world.sh(
      "for c in 'ip link add d0 type dummy' 'ip addr add 10.9.8.7/24 dev lo' 'ip link set lo down' 'mount -t tmpfs x /mnt' 'mount -o remount,rw /run/bot-bottle/kit' 'chroot / true' 'nsenter -t 1 -n true' 'sysctl -w kernel.core_pattern=x' 'su root -c true' 'kill -0 1'; do $c 2>/dev/null && echo \"DONE $c\"; done; true",
    );
    expect(tried.stdout).toBe("");
    const write =
      'for f in /proc/sys/kernel/core_pattern /proc/sysrq-trigger /sys/fs/cgroup/x /sys/kernel/uevent_helper /run/bot-bottle/kit/x /run/bot-bottle/etc/x /etc/passwd; do (echo x >$f) 2>/dev/null && echo "WROTE $f"; done; true';
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
    for (const path of Object.values(world.bottles[1] ?? {}).filter((it) => String(it)[0] === "/"))
      expect([path, await outcome("read", { path: String(path) })]).toEqual([path, "ENOENT"]);
  });

  it("leaves the guest nothing of the launcher's, and nothing runs as root outside", async () => {
    const { stdout = "" } = await world.sh(
      "cat /proc/*/environ /proc/*/cmdline 2>/dev/null | tr '\\0' '\\n'",
    );
    expect(stdout).not.toContain("launcher-environment-canary");
    const monitors = readdirSync("/proc").filter(
      (pid) => /^\d+$/.test(pid) && commandOf(pid).includes("_boot-vm"),
    );
    expect(monitors.length).toBe(2);
    for (const pid of monitors) {
      const status = readFileSync(`/proc/${pid}/status`, "utf8");
      expect(status).toMatch(/^Uid:\t2\d{9}\t2\d{9}\t2\d{9}\t2\d{9}$/m);
      expect(status).toMatch(/^CapEff:\t0{16}$/m);
      expect(status).toMatch(/^NoNewPrivs:\t1$/m);
    }
  });

  it("ends with nothing left on the host", async () => {
    const { run = "", state = "" } = world.bottles[0] ?? {};
    await world.close();
    expect(world.closed).toEqual([
      { failures: 0, fault: "undefined" },
      { failures: 0, fault: "undefined" },
    ]);
    expect(existsSync(run)).toBe(false);
    expect(existsSync(join(state, "smolvm"))).toBe(false);
    expect(readdirSync("/tmp").filter((it) => /^bot-bottle-(?:vm|seen)-/.test(it))).toEqual([]);
    const left = readdirSync("/proc").filter(
      (it) => /^\d+$/.test(it) && Number(it) !== process.pid,
    );
    expect(left.map(commandOf).filter((it) => /smolvm|bot-bottle/.test(it))).toEqual([]);
    expect(host.visits).toEqual([]);
  });
});

function commandOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "latin1").replaceAll("\0", " ");
  } catch {
    return "";
  }
}
