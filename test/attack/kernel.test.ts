// Attempts from inside a bottle to gain rights of the kernel, files of the host and the ear of the control plane, and to take
// more than its share.
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { AttackHost, HOST_CANARY } from "../support/attack-host.ts";
import {
  type AttackWorld,
  type Mode,
  modesHere,
  openAttackWorld,
} from "../support/attack-world.ts";
import { requires } from "../support/requires.ts";

const BOTTLE =
  "agent_provider: { template: command, settings: { argv: [/bin/true] } }\nlimits: { memory: 1GiB, processes: 256 }";

/** System calls by number on x64 and arm64; arguments are 0 where not given. */
// biome-ignore format: one attempt a line
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
  ["process_vm_readv", 310, 270, 1],
  ["process_vm_writev", 311, 271, 1],
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
  ["mbind", 237, 235],
  ["move_pages", 279, 239, 1],
  ["lookup_dcookie", 212, 18],
  ["setuid 0", 105, 146, 0],
  ["setgid 0", 106, 144, 0],
  ["capset", 126, 91],
];

describe.each(modesHere())("a guest of %s", requires("bwrap", "userns"), (mode: Mode) => {
  let host: AttackHost;
  let world: AttackWorld;
  beforeAll(async () => {
    host = await new AttackHost().open();
    world = await openAttackWorld({ mode, bottles: { one: BOTTLE, two: BOTTLE } });
  });
  afterAll(async () => {
    await world?.[Symbol.asyncDispose]();
    await host?.[Symbol.asyncDispose]();
  });
  const outcome = async (op: string, options: object): Promise<string> =>
    (await world.ask(op, options)).outcome ?? "";

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
#include <errno.h>\n#include <sched.h>\n#include <stdio.h>\n#include <sys/ioctl.h>\n#include <sys/mount.h>\n#include <unistd.h>\n#include <fcntl.h>\n#include <stdlib.h>
int main(void) {
  char c = 'x', sub[4] = {2};
  if (unshare(CLONE_NEWUSER) == 0) puts("user namespace");
  if (mount("none", "/tmp", "tmpfs", 0, "") == 0) puts("mount");
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
      // The machine's compiler need not work on what the guest sees of it.
      if (stderr?.includes("cc: ") === true || stderr?.includes("cc1") === true) return;
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

    it("traces no process that is not its own", requires("perl"), async () => {
      // Numbers beyond those of the guest's own processes and threads.
      const others = readdirSync("/proc").filter((name) => Number(name) > 3000);
      const seize = process.arch === "arm64" ? 117 : 101;
      const script = `for (@ARGV) { print "$_ " if syscall(${seize}, 16, $_+0, 0, 0) == 0 }`;
      expect((await world.run(["perl", "-e", script, ...others.slice(0, 300)])).stdout).toBe("");
    });

    it("tells nothing of the host by /proc", async () => {
      const { stdout = "" } = await world.sh(
        "cat /proc/keys /proc/key-users /proc/kallsyms /proc/*/environ /proc/*/cmdline 2>/dev/null | tr '\\0' '\\n'",
      );
      for (const trace of [
        "launcher-environment-canary",
        "LAUNCHER_VARIABLE",
        world.home,
        "attack-owner",
      ]) {
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
      for (const path of ways) expect(await outcome("read", { path })).not.toContain(HOST_CANARY);
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
        "rm -f /run/bot-bottle/doors/proxy.sock; mv /run/bot-bottle/doors /run/d; mount -o remount,rw /; mount -o remount,rw /driver; umount /proc/sys; true",
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

    it(
      "gets nothing but guest input, even from a guest-init that was taken over",
      requires("perl"),
      async () => {
        // The guest may trace and write to its own first processes: nobody outside trusts them.
        const { stdout = "" } = await world.sh(
          "for f in /proc/1/fd/* /proc/2/fd/*; do echo x > $f; done 2>/dev/null; cat /proc/1/environ /proc/2/environ | tr '\\0' '\\n'",
        );
        expect(stdout).not.toMatch(/launcher-environment-canary|control\.sock/);
        expect((await world.sh("echo alive")).stdout).toBe("alive\n");
      },
    );
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
});
