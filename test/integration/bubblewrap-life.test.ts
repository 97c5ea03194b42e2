// The life of a real guest as its owner sees it, and what is left when either is killed; as root and as an ordinary user.
import { closeSync, constants, openSync, readdirSync, readlinkSync } from "node:fs";
import { chmod, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { bubblewrap } from "../../src/backends/bubblewrap/backend.ts";
import { systemClock } from "../../src/base/clock.ts";
import { parseHostPath } from "../../src/base/ids.ts";
import { silentLogger } from "../../src/base/log.ts";
import { readStartTime } from "../../src/process/identity.ts";
import { createExec } from "../../src/process/spawn.ts";
import {
  buildGuestInit,
  type Mode,
  modesHere,
  type OwnerProcess,
  startOwner,
} from "../support/bubblewrap-owner.ts";
import { requires } from "../support/requires.ts";

let shared = "";
let guestInit = "";

beforeAll(async () => {
  shared = await mkdtemp(join(tmpdir(), "bwrap-shared-"));
  guestInit = await buildGuestInit(shared);
});
afterAll(() => rm(shared, { recursive: true, force: true }));

/** Host pids whose pid namespace is `namespace`. */
function membersOf(namespace: string): string[] {
  return readdirSync("/proc").filter((pid) => {
    try {
      return (
        /^\d+$/.test(pid) &&
        readlinkSync(`/proc/${pid}/ns/pid`) === namespace &&
        readStartTime(Number(pid)) !== undefined
      );
    } catch {
      return false;
    }
  });
}

const groupsOf = async (owner: OwnerProcess): Promise<string[]> => {
  const found = owner.resources().cgroups.map((directory) =>
    stat(directory).then(
      () => directory,
      () => "",
    ),
  );
  return (await Promise.all(found)).filter((directory) => directory !== "");
};

describe.each(modesHere())(
  "the life of a guest launched as %s",
  requires("bwrap", "userns"),
  (mode: Mode) => {
    it("leaves nothing after it was closed", async () => {
      await using owner = await startOwner(mode, { guestInit });
      await owner.wait("ready");
      const namespace = readlinkSync(`/proc/${owner.resources().processes.at(-1)?.pid}/ns/pid`);
      await owner.ask(
        { argv: ["sh", "-c", "trap '' TERM; setsid sleep 100 & sleep 100"], background: true },
        "pid",
      );
      await vi.waitFor(() => expect(membersOf(namespace).length).toBeGreaterThan(3));
      await owner.close();
      expect(owner.messages.at(-1)).toEqual({ closed: true });
      expect(membersOf(namespace)).toEqual([]);
      expect(await groupsOf(owner)).toEqual([]);
    });

    it.each([
      ["whose programs ignore signals", "trap '' TERM HUP INT; setsid sleep 100 & sleep 100"],
      // Its lease cannot end this one: only the death of the parents can.
      ["whose first process was stopped", "sleep 0.3; kill -STOP 2; sleep 100"],
    ])(
      "leaves no process of a guest %s after its owner was killed; the rest is reaped",
      async (_, script) => {
        await using owner = await startOwner(mode, { guestInit });
        await owner.wait("ready");
        const resources = owner.resources();
        const namespace = readlinkSync(`/proc/${resources.processes.at(-1)?.pid}/ns/pid`);
        await owner.ask({ argv: ["sh", "-c", script], background: true }, "pid");
        await systemClock.sleep(500);
        owner.child.kill("SIGKILL");
        await vi.waitFor(() => {
          expect(membersOf(namespace)).toEqual([]);
          for (const { pid } of resources.processes) expect(readStartTime(pid)).toBeUndefined();
        }, 5_000);
        const ports = {
          exec: createExec(),
          clock: systemClock,
          log: silentLogger,
          searchPath: "/usr/bin:/bin",
          env: {},
        };
        await bubblewrap.reap(
          { ...resources, cgroups: resources.cgroups.map(parseHostPath), objects: {} },
          ports,
        );
        expect(await groupsOf(owner)).toEqual([]);
      },
    );

    it("ends with guest-init, whoever killed that", async () => {
      await using owner = await startOwner(mode, { guestInit });
      await owner.wait("ready");
      await owner.ask(
        { argv: ["sh", "-c", "setsid sleep 100 & sleep 0.3; kill -9 2"], background: true },
        "pid",
      );
      await owner.wait("guestExited");
    });

    it("ends a guest whose first process was stopped", async () => {
      await using owner = await startOwner(mode, { guestInit });
      await owner.wait("ready");
      await owner.ask({ argv: ["sh", "-c", "sleep 0.3; kill -STOP 2"], background: true }, "pid");
      await systemClock.sleep(500);
      const { pid } = owner.resources().processes.at(-1)!;
      await owner.close();
      expect(readStartTime(pid)).toBeUndefined();
    });

    it("lets nobody write into our log, or signal our process group", async () => {
      await using owner = await startOwner(mode, { guestInit, terminal: "shared" });
      await owner.wait("ready");
      await owner.run(
        "perl",
        "-e",
        `my $p=syscall(434,1,0); my $f=syscall(438,$p,2,0); open(my $h, '>&=', $f); syswrite($h, "injected\n")`,
      );
      const group =
        "$!=0; my $e = kill(10, 0) ? 0 : $!+0; open(F, '>/home/node/refused'); print F $e";
      await owner.ask({ argv: ["perl", "-e", group], stdio: "inherit" }, "status");
      expect((await owner.sh("cat /home/node/refused")).stdout).toBe("1");
      await owner.close();
      expect(owner.stderr).not.toContain("injected");
      expect(owner.messages.at(-1)).toEqual({ closed: true });
    });

    it("contains a memory hog", async () => {
      await using owner = await startOwner(mode, { guestInit, limits: { memoryBytes: 192 << 20 } });
      const { ready } = (await owner.wait("ready")) as { ready: { memory: string } };
      const hog =
        "my @a; for (1..64) { push @a, 'x' x (16<<20); select undef,undef,undef,0.05 } print 'ate all'";
      void owner.ask({ argv: ["perl", "-e", hog] }, "status").catch(() => undefined);
      const ended = await Promise.race([
        owner.wait("status"),
        owner.wait("error"),
        owner.wait("guestExited"),
      ]);
      expect(JSON.stringify(ended)).not.toContain("ate all");
      expect(ready.memory).toMatch(
        mode === "root" ? /^(cgroup v[12]|watched)$/ : /^(systemd scope|watched)$/,
      );
    });

    it("counts files in memory as memory", async () => {
      await using owner = await startOwner(mode, {
        guestInit,
        limits: { memoryBytes: 192 << 20, tmpfsBytes: 1 << 30 },
      });
      await owner.wait("ready");
      void owner
        .ask(
          { argv: ["sh", "-c", "head -c 900M /dev/zero > /tmp/big; sleep 1; echo all"] },
          "status",
        )
        .catch(() => undefined);
      const ended = await Promise.race([
        owner.wait("status"),
        owner.wait("error"),
        owner.wait("guestExited"),
      ]);
      expect(JSON.stringify(ended)).not.toContain("all\\n");
    });

    it("lets only user namespaces nest, and only where the plan says so", async () => {
      await using owner = await startOwner(mode, { guestInit, allowsUserNamespaces: true });
      await owner.wait("ready");
      expect((await owner.sh("unshare -U true")).status.exitCode).toBe(0);
      for (const flags of ["-Un", "-Um", "-Up -f"])
        expect((await owner.sh(`unshare ${flags} true`)).status.exitCode).not.toBe(0);
    });

    it("never hands a file of the host over as a descriptor", async () => {
      const file = join(shared, `output-${mode}`);
      await writeFile(file, "written before\n");
      await chmod(file, 0o666);
      const input = join(shared, `input-${mode}`);
      await writeFile(input, "the input\n");
      await chmod(input, 0o666);
      const fds = [openSync(input, "r"), openSync(file, "a")];
      await using owner = await startOwner(mode, { guestInit, stdio: [3, 4, 4] }, fds);
      await using raw = await startOwner(mode, { guestInit, rawStdio: [3, 4, 4] }, fds);
      for (const fd of fds) closeSync(fd);
      expect((await raw.wait("failed"))["failed"]).toContain("openSafeStdio");
      await owner.wait("ready");
      // What reads the relay's pipe comes first: later it would take what `cat` writes.
      const script =
        "timeout 0.2 cat </proc/self/fd/1 >/tmp/seen; cat; echo overwritten 2>/dev/null 1<>/proc/self/fd/0; echo to stdout; echo to stderr >&2; echo again >/dev/stdout; stat -L -c %F /proc/self/fd/0 /proc/self/fd/1";
      await owner.ask({ argv: ["bash", "-c", script], stdio: "inherit" }, "status");
      expect((await owner.sh("cat /tmp/seen")).stdout).not.toContain("before");
      await owner.close();
      expect(await readFile(input, "utf8")).toBe("the input\n");
      expect(await readFile(file, "utf8")).toBe(
        "written before\nthe input\nto stdout\nto stderr\nagain\nfifo\nfifo\n",
      );
    });

    it("takes no pipe that it cannot know to be a relay's", async () => {
      const path = join(shared, `pipe-${mode}`);
      await createExec().run(["mkfifo", "-m", "666", path], { env: { PATH: "/usr/bin:/bin" } });
      const fds = [openSync(path, constants.O_RDWR)];
      for (const rawStdio of [
        [3, 3, 3],
        ["ignore", "ignore", 3],
        [3, "ignore", "ignore"],
        ["ignore", "inherit", "ignore"],
      ]) {
        await using raw = await startOwner(mode, { guestInit, rawStdio }, fds);
        expect((await raw.wait("failed"))["failed"]).toContain("openSafeStdio");
      }
      await using copy = await startOwner(
        mode,
        { guestInit, stdio: [3, 3, 3], copiesStdio: true },
        fds,
      );
      expect((await copy.wait("failed"))["failed"]).toContain("openSafeStdio");
      for (const fd of fds) closeSync(fd);
    });

    it("refuses what it cannot give, and says why", async () => {
      const failure = async (
        options: Record<string, unknown>,
      ): Promise<Record<string, unknown>> => {
        await using owner = await startOwner(mode, { guestInit, ...options });
        return await owner.wait("failed");
      };
      const covered = await failure({ mounts: [{ hostPath: shared, guestPath: "/etc/x" }] });
      expect(covered).toMatchObject({ code: "launch.backend" });
      expect(covered["failed"]).toContain("/etc/x");
      const missing = await failure({
        mounts: [{ hostPath: `${shared}/nothing`, guestPath: "/x" }],
      });
      expect(missing).toMatchObject({ code: "launch.backend" });
      expect(missing["failed"]).toContain("nothing");
    });
  },
);

describe("the probe", requires("bwrap", "userns"), () => {
  it("says what holds what", async () => {
    const ports = {
      exec: createExec(),
      clock: systemClock,
      log: silentLogger,
      searchPath: "/usr/bin:/bin",
      env: {},
    };
    const probe = await bubblewrap.probe(ports);
    expect(probe).toMatchObject({ name: "bubblewrap", isAvailable: true, reason: undefined });
    expect(Object.keys(probe.capabilities)).toContain("memory limit");
    const nothing = await bubblewrap.probe({ ...ports, searchPath: "/nowhere" });
    expect(nothing).toMatchObject({ isAvailable: false, reason: "bwrap is not on PATH" });
    expect(nothing.hint).toContain("apt-get install bubblewrap");
  });
});
