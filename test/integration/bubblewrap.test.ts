// A real guest, seen from inside as an attacker would and from outside as its owner does; as root and as an ordinary user.
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parseSeccompArch } from "../../src/backends/bubblewrap/seccomp.ts";
import { REFUSED_CALLS } from "../../src/backends/bubblewrap/syscalls.ts";
import {
  buildGuestInit,
  type Mode,
  modesHere,
  type OwnerProcess,
  startOwner,
} from "../support/bubblewrap-owner.ts";
import { requires } from "../support/requires.ts";

const SECRET = "host-secret-5b1f";
const ABSTRACT = `bottle-test-${process.pid}`;
let shared = "";
let guestInit = "";
let tcp: Server;
let abstract: Server;

beforeAll(async () => {
  shared = await mkdtemp(join(tmpdir(), "bwrap-shared-"));
  guestInit = await buildGuestInit(shared);
  await mkdir(join(shared, "reference"));
  await writeFile(join(shared, "reference", "note"), "read me\n");
  await writeFile(join(shared, "secret"), SECRET, { mode: 0o644 });
  tcp = createServer((socket) => socket.end("host")).listen(0, "127.0.0.1");
  abstract = createServer((socket) => socket.end("host")).listen(`\0${ABSTRACT}`);
});
afterAll(async () => {
  tcp.close();
  abstract.close();
  await rm(shared, { recursive: true, force: true });
});

const hostPort = (): number => (tcp.address() as { port: number }).port;

/** A perl program that makes one system call and says its error number, 0 when it succeeded. */
const syscall = (number: number, ...args: (number | string)[]): string[] => {
  const list = [number, ...args].map((arg) => (typeof arg === "string" ? `"${arg}"` : String(arg)));
  return ["perl", "-e", `$!=0; my $r = syscall(${list.join(",")}); print $r == -1 ? $!+0 : 0`];
};

describe.each(modesHere())("a guest launched as %s", requires("bwrap", "userns"), (mode: Mode) => {
  let owner: OwnerProcess;
  beforeAll(async () => {
    const mounts = [{ hostPath: join(shared, "reference"), guestPath: "/ref" }];
    owner = await startOwner(mode, { guestInit, mounts });
    await owner.wait("ready");
  });
  afterAll(() => owner[Symbol.asyncDispose]());

  describe("who it is", () => {
    it("is uid 1000 with no right and no group, and cannot gain any", async () => {
      expect((await owner.sh("id -u; id -g; hostname")).stdout).toBe("1000\n1000\nbottle\n");
      // The kernel lets an ordinary user drop no group; inside they are all the overflow group.
      expect((await owner.sh("id -G")).stdout.trim()).toMatch(/^1000( 65534)*$/);
      const { stdout } = await owner.sh("cat /proc/self/status /proc/1/status");
      expect(stdout.match(/^NoNewPrivs:\t1$/gm)).toHaveLength(2);
      expect(stdout.match(/^Seccomp:\t2$/gm)).toHaveLength(2);
      expect(stdout.match(/^Cap(Inh|Prm|Eff|Bnd|Amb):\t0{16}$/gm)).toHaveLength(10);
      expect(
        (await owner.sh("find / -xdev -perm /6000 -type f 2>/dev/null; su -c id </dev/null"))
          .stdout,
      ).not.toContain("uid=0");
    });

    it("passes the inspection from outside", async () => {
      expect(await owner.ask({ inspect: true }, "inspected")).toEqual({ inspected: [] });
    });

    it("reads nothing of its launcher", async () => {
      const { stdout } = await owner.sh(
        "for p in /proc/[0-9]*; do tr '\\0' ' ' <$p/cmdline; tr '\\0' ' ' <$p/environ; echo; done",
      );
      expect(stdout).toContain("--args 3");
      for (const trace of [
        owner.directory,
        shared,
        "canary",
        "bubblewrap-owner",
        "setpriv",
        "HOME=/root",
      ]) {
        expect(stdout).not.toContain(trace);
      }
    });

    it("has descriptors 0-2 and no more", async () => {
      const own = await owner.sh(
        "ls -l /proc/self/fd | sed '1d; s/.* \\([0-9]*\\) -> /\\1 /' | grep -v /proc/",
      );
      expect(
        own.stdout
          .trim()
          .split("\n")
          .map((line) => line.split(" ")[0]),
      ).toEqual(["0", "1", "2"]);
      const { stdout } = await owner.sh("ls -l /proc/1/fd | sed 1d | sed 's/.* -> //'");
      expect(
        stdout
          .trim()
          .split("\n")
          .filter((target) => !/^(\/dev\/null|socket:.*|anon_inode:\[eventfd\])$/.test(target)),
      ).toEqual([]);
    });
  });

  describe("files", () => {
    it("sees the plan's files and no others", async () => {
      const top = (await owner.sh("ls -A /")).stdout.trim().split("\n");
      const known = [
        "bin",
        "dev",
        "etc",
        "home",
        "lib",
        "lib32",
        "lib64",
        "libx32",
        "opt",
        "proc",
        "ref",
        "run",
        "sbin",
        "tmp",
        "usr",
        "var",
      ];
      expect(top.filter((name) => !known.includes(name))).toEqual([]);
      expect(
        (
          await owner.sh(
            "cd /; ls -A /home /home/node /opt /opt/bot-bottle /run /run/bot-bottle/doors /tmp /var",
          )
        ).stdout
          .split(/\s+/)
          .filter(Boolean),
      ).toEqual([
        ...[
          "/home:",
          "node",
          "/home/node:",
          "workspace",
          "/opt:",
          "bot-bottle",
          "/opt/bot-bottle:",
          "bin",
          "guest-init.js",
        ],
        ...[
          "/run:",
          "bot-bottle",
          "/run/bot-bottle/doors:",
          "proxy.sock",
          "/tmp:",
          "/var:",
          "run",
          "tmp",
        ],
      ]);
      const etc = (await owner.sh("ls -A /etc")).stdout.trim().split("\n");
      expect(
        etc.filter(
          (name) =>
            !/^(?:alternatives|fonts|hosts|java.*|ld\.so\.cache|passwd|perl|python.*|terminfo)$/.test(
              name,
            ),
        ),
      ).toEqual([]);
      expect(
        (await owner.sh("ls /root /sys /boot /mnt /newroot /oldroot 2>/dev/null")).stdout,
      ).toBe("");
      expect((await owner.sh("cat /ref/note")).stdout).toBe("read me\n");
    });

    it("reaches no host file past its mounts", async () => {
      const secret = join(shared, "secret");
      const tries = [
        secret,
        `/ref/../secret`,
        `/proc/1/root${secret}`,
        `/proc/1/cwd/../..${secret}`,
        `/proc/self/root${secret}`,
      ];
      const { stdout } = await owner.sh(`cat ${tries.join(" ")} 2>/dev/null`);
      expect(stdout).not.toContain(SECRET);
    });

    it("writes in home, workspace and tmpfs only", async () => {
      for (const path of [
        "/home/node/a",
        "/home/node/workspace/a",
        "/tmp/a",
        "/run/a",
        "/dev/shm/a",
        "/var/tmp/a",
      ]) {
        expect([path, (await owner.sh(`echo x > ${path} && rm ${path}`)).status.exitCode]).toEqual([
          path,
          0,
        ]);
      }
      const forbidden = [
        "/a",
        "/usr/a",
        "/etc/a",
        "/etc/passwd",
        "/dev/a",
        "/opt/a",
        "/opt/bot-bottle/guest-init.js",
        "/opt/bot-bottle/bin/node",
      ];
      for (const path of [
        ...forbidden,
        "/run/bot-bottle/doors/a",
        "/ref/a",
        "/ref/note",
        "/var/a",
        "/home/a",
        "/lib/a",
      ]) {
        expect([path, (await owner.sh(`echo x >> ${path}`)).status.exitCode]).not.toEqual([
          path,
          0,
        ]);
      }
      expect(
        (
          await owner.sh(
            "rm -rf /opt/bot-bottle/bin/node /run/bot-bottle/doors/proxy.sock; mount -o remount,rw /",
          )
        ).status.exitCode,
      ).not.toBe(0);
      expect(
        (await owner.run("ls", "/run/bot-bottle/doors/proxy.sock", "/opt/bot-bottle/bin/node"))
          .status.exitCode,
      ).toBe(0);
    });

    it("cannot write to any setting of the kernel", async () => {
      const { stdout } = await owner.sh(
        "find /proc -maxdepth 6 -path '/proc/[0-9]*' -prune -o -writable -exec test ! -c {} \\; -print 2>/dev/null",
      );
      expect(
        stdout
          .split("\n")
          .filter((path) => path !== "" && !/^\/proc\/(self|thread-self)\//.test(path)),
      ).toEqual([]);
      const settings = [
        "kernel/core_pattern",
        "kernel/modprobe",
        "kernel/hotplug",
        "vm/overcommit_memory",
        "user/max_user_namespaces",
        "net/ipv4/ip_forward",
        "fs/binfmt_misc/register",
      ];
      for (const setting of settings) {
        expect((await owner.sh(`echo 1 > /proc/sys/${setting}`)).status.exitCode).not.toBe(0);
      }
      expect((await owner.sh("echo b > /proc/sysrq-trigger")).status.exitCode).not.toBe(0);
    });

    it("is told nothing by /proc of the host's keys", async () => {
      expect((await owner.sh("cat /proc/keys /proc/key-users 2>/dev/null")).stdout).toBe("");
    });
  });

  describe("the kernel", () => {
    const arch = parseSeccompArch(process.arch);
    it.each(REFUSED_CALLS)("refuses $name", async ({ numbers, errno }) => {
      const number = arch === undefined ? undefined : numbers[arch];
      if (number === undefined) return;
      const { stdout } = await owner.run(...syscall(number, 0, 0, 0, 0, 0));
      expect(Number(stdout)).toBe(errno === "ENOSYS" ? 38 : 1);
    });

    it("makes no namespace", async () => {
      for (const flags of ["-U", "-Ur", "-n", "-m", "-p -f", "-i", "-u", "-C", "-T", "-Urn"]) {
        expect([flags, (await owner.sh(`unshare ${flags} true`)).status.exitCode]).not.toEqual([
          flags,
          0,
        ]);
      }
      expect(
        (await owner.sh("nsenter -t 1 -a true || nsenter -t 1 -U true")).status.exitCode,
      ).not.toBe(0);
    });

    it("opens no socket but unix, TCP, UDP and netlink's route", async () => {
      const open = async (...args: number[]): Promise<number> =>
        Number(
          (await owner.sh(`perl -e '$!=0; socket(my $s, ${args.join(",")}) or print $!+0'`)).stdout,
        );
      expect([
        await open(1, 1, 0),
        await open(2, 1, 0),
        await open(10, 2, 0),
        await open(16, 3, 0),
      ]).toEqual([0, 0, 0, 0]);
      expect([await open(2, 3, 1), await open(10, 3, 58), await open(2, 2, 1)]).toEqual([1, 1, 93]);
      expect([
        await open(17, 3, 768),
        await open(40, 1, 0),
        await open(38, 5, 0),
        await open(31, 3, 1),
        await open(16, 3, 12),
      ]).toEqual([97, 97, 97, 97, 93]);
    });

    it("types into no terminal", async () => {
      const request = (number: string): Promise<{ stdout: string }> =>
        owner.sh(`perl -e '$!=0; ioctl(STDIN, ${number}, my $x="a") or print $!+0' </dev/null`);
      expect((await request("0x5412")).stdout).toBe("1");
      expect((await request("0x541c")).stdout).toBe("1");
      expect((await request("0x5413")).stdout).toBe("25");
    });

    it("kills programs that call it through another ABI", requires("linux"), async () => {
      if (process.arch !== "x64") return;
      const int80 = "b814000000cd80";
      const x32 = "b8270000400f05";
      const exit = "31ffb83c0000000f05";
      for (const [code, signal] of [
        [exit, undefined],
        [int80 + exit, "SIGSYS"],
        [x32 + exit, "SIGSYS"],
      ] as const) {
        const { status } = await owner.sh(
          `printf '${elf(code)}' > /tmp/abi; chmod +x /tmp/abi; exec /tmp/abi`,
        );
        expect([code, status.signal]).toEqual([code, signal]);
      }
    });

    it("keeps the core limit at the one value that calls no crash handler", async () => {
      const { stdout } = await owner.sh(
        "prlimit --core=0:0 true; prlimit --noheadings --raw -o SOFT,HARD --core",
      );
      expect(stdout.trim()).toBe("1 1");
      expect((await owner.sh("ulimit -n 512; ulimit -n")).stdout).toBe("512\n");
    });

    it("runs what programs need: threads, pipes, sqlite-like locks, git, node", async () => {
      const { stdout } = await owner.sh(
        "cd /tmp && git init -q x && echo ok | cat && flock /tmp/lock echo locked && node -p 'require(\"os\").networkInterfaces().lo.length > 0'",
      );
      expect(stdout).toBe("ok\nlocked\ntrue\n");
    });
  });

  describe("the network", () => {
    it("is loopback and the plan's doors", async () => {
      expect(await owner.ask({ probe: { type: "interfaces" } }, "answer")).toEqual({
        answer: "lo",
      });
      expect(
        await owner.ask({ probe: { type: "door", port: 9099, timeoutMs: 2000 } }, "answer"),
      ).toEqual({ answer: "connected" });
      expect(
        (
          await owner.sh(
            "cat /proc/net/route /proc/net/ipv6_route | grep -v '	lo$\\| lo$' | sed 1d",
          )
        ).stdout,
      ).toBe("");
    });

    it("reaches no other address, at once", async () => {
      const began = performance.now();
      for (const host of [
        "1.1.1.1",
        "169.254.169.254",
        "10.0.0.1",
        "2606:4700:4700::1111",
        "fe80::1",
      ]) {
        const { answer } = await owner.ask(
          { probe: { type: "tcp", host, port: 443, timeoutMs: 5000 } },
          "answer",
        );
        expect([host, answer]).toEqual([host, "unreachable"]);
      }
      for (const host of ["127.0.0.1", "::1"]) {
        const { answer } = await owner.ask(
          { probe: { type: "tcp", host, port: hostPort(), timeoutMs: 5000 } },
          "answer",
        );
        expect([host, answer]).toEqual([host, "refused"]);
      }
      expect((await owner.sh("getent hosts example.com")).status.exitCode).not.toBe(0);
      expect(
        (
          await owner.sh(
            'perl -e \'use Socket; socket(S,2,2,17); send(S,"x",0,sockaddr_in(53,inet_aton("8.8.8.8"))) or print $!+0\'',
          )
        ).stdout,
      ).toBe("101");
      expect(performance.now() - began).toBeLessThan(6_000);
    });

    it("reaches no abstract socket of the host", async () => {
      const { stdout } = await owner.sh(
        `perl -e 'use Socket; socket(S,1,1,0); connect(S, pack("S a*", 1, "\\0${ABSTRACT}")) or print $!+0'`,
      );
      expect(stdout).toBe("111");
    });
  });

  describe("limits", () => {
    it("holds the number of processes against a fork bomb", async () => {
      const bomb =
        "$SIG{CHLD}='IGNORE'; my $n=0; while (defined(my $p=fork())) { if (!$p) { close STDOUT; close STDERR; close STDIN; sleep 3; exit } last if ++$n > 2000 } print $n; 1 while wait() != -1";
      const forked = Number((await owner.run("perl", "-e", bomb)).stdout);
      expect(forked).toBeGreaterThan(200);
      expect(forked).toBeLessThan(256);
      expect((await owner.sh("echo alive")).stdout).toBe("alive\n");
    });

    it("bounds every tmpfs", async () => {
      for (const path of ["/tmp", "/run", "/dev/shm"]) {
        const { stdout } = await owner.sh(
          `head -c 64M /dev/zero > ${path}/big 2>/dev/null; stat -c %s ${path}/big; rm ${path}/big`,
        );
        expect(Number(stdout)).toBeLessThanOrEqual(16 << 20);
      }
    });
  });
});

/** Bytes of a static program with this machine code, as printf(1) takes them. */
function elf(code: string): string {
  const size = 120 + code.length / 2;
  const bytes = Buffer.alloc(size);
  Buffer.from("7f454c46020101", "hex").copy(bytes);
  bytes.writeUInt16LE(2, 16);
  bytes.writeUInt16LE(62, 18);
  bytes.writeUInt32LE(1, 20);
  bytes.writeBigUInt64LE(0x400078n, 24);
  bytes.writeBigUInt64LE(64n, 32);
  bytes.writeUInt16LE(64, 52);
  bytes.writeUInt16LE(56, 54);
  bytes.writeUInt16LE(1, 56);
  bytes.writeUInt32LE(1, 64);
  bytes.writeUInt32LE(5, 68);
  bytes.writeBigUInt64LE(0x400000n, 80);
  bytes.writeBigUInt64LE(0x400000n, 88);
  bytes.writeBigUInt64LE(BigInt(size), 96);
  bytes.writeBigUInt64LE(BigInt(size), 104);
  bytes.writeBigUInt64LE(0x1000n, 112);
  Buffer.from(code, "hex").copy(bytes, 120);
  return [...bytes].map((byte) => `\\${byte.toString(8).padStart(3, "0")}`).join("");
}
