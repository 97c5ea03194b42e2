// The life of a child as its owner sees it: every program here is real and behaves badly on purpose.
import { mkdtemp, readdir, readFile, readlink, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { HostError, LaunchError, TimeoutError } from "../../src/base/errors.ts";
import { createLogger } from "../../src/base/log.ts";
import { DRAIN_MS } from "../../src/process/child.ts";
import type { Child } from "../../src/process/exec.ts";
import { isAlive, killIfSame, readOwner, readStartTime } from "../../src/process/identity.ts";
import { createKillSet } from "../../src/process/kill-set.ts";
import { createExec } from "../../src/process/spawn.ts";
import { requires } from "../support/requires.ts";

const programs = join(import.meta.dirname, "../fixtures/programs");
const node = (name: string, ...args: string[]): string[] => [
  process.execPath,
  join(programs, name),
  ...args,
];
const PATH = "/usr/bin:/bin";
const exec = createExec();
let dir = "";

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "process-test-"));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

/** The first line of a child's output. */
async function firstLine(child: Child): Promise<string> {
  const stdout = child.stdout!;
  return new Promise((resolve, reject) => {
    let text = "";
    stdout.on("data", (chunk: Buffer) => {
      text += chunk.toString();
      if (text.includes("\n")) resolve(text.slice(0, text.indexOf("\n")));
    });
    stdout.on("end", () => reject(new Error(`no line came, only ${JSON.stringify(text)}`)));
  });
}

const isGone = (pid: number): boolean => readStartTime(pid) === undefined;
const waitUntilGone = (pid: number): Promise<void> =>
  vi.waitFor(() => expect(isGone(pid)).toBe(true), { timeout: 5_000 });

describe("run", () => {
  it("gives exit status and output of a program that succeeds, and of one that dies half-way", async () => {
    const good = await exec.run(["sh", "-c", "cat; echo done >&2"], { input: "one\ntwo" });
    expect(good.stdout.toString()).toBe("one\ntwo");
    expect(good).toMatchObject({ exitCode: 0, signal: undefined });
    expect(good.stderr.toString()).toBe("done\n");
    const bad = await exec.run(node("dies-half-way.mjs"));
    expect(bad).toMatchObject({ exitCode: 3, signal: undefined });
    expect(bad.stdout.toString()).toBe('{"answer": [1, 2');
    expect(bad.stderr.toString()).toBe("out of luck\n");
  });

  it("tells a death by signal", async () => {
    const result = await exec.run(node("exits-by-signal.mjs", "SIGUSR2"));
    expect(result).toMatchObject({ exitCode: undefined, signal: "SIGUSR2" });
  });

  it("survives a program that does not read its input", async () => {
    const result = await exec.run(["true"], { input: Buffer.alloc(4 * 1024 * 1024) });
    expect(result.exitCode).toBe(0);
  });

  it("gives /dev/null as input when there is none", async () => {
    expect((await exec.run(["cat"])).stdout.length).toBe(0);
  });

  it("stops a program that writes over the bound", async () => {
    const flood = exec.run(["yes"], { maxOutputBytes: 100_000 });
    await expect(flood).rejects.toThrow('program "yes" stopped: it wrote over 100000 bytes');
    const errors = exec.run(node("floods-stderr.mjs", "100000"), { maxOutputBytes: 10_000 });
    await expect(errors).rejects.toBeInstanceOf(LaunchError);
  });

  it("keeps output of exactly the bound", async () => {
    const result = await exec.run(["head", "-c", "5000", "/dev/zero"], { maxOutputBytes: 5000 });
    expect(result.stdout.length).toBe(5000);
  });

  it("stops what takes too long, with all its descendants", async () => {
    const run = exec.run(["sh", "-c", "sleep 60 & echo $! >&2; wait"], {
      timeoutMs: 300,
      graceMs: 100,
    });
    const error = await run.catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(TimeoutError);
    const { message, details } = error as TimeoutError;
    expect(message).toBe('waited 300 ms for "sh"');
    await waitUntilGone(Number((details["stderr"] as string[])[0]));
  });

  it("stops when cancelled and throws the signal's reason", async () => {
    const cancel = new AbortController();
    const run = exec.run(["sleep", "60"], { signal: cancel.signal });
    cancel.abort(new Error("enough"));
    await expect(run).rejects.toThrow("enough");
    await expect(exec.run(["true"], { signal: cancel.signal })).rejects.toThrow("enough");
  });
});

describe("what cannot be started", () => {
  it("names a missing program and how to get it", async () => {
    const error = await exec.run(["no-such-program"], { env: { PATH } }).catch((it: unknown) => it);
    expect(error).toBeInstanceOf(HostError);
    expect(error).toMatchObject({
      code: "host.binary-missing",
      message: `program "no-such-program" cannot be run: it is not on PATH (${PATH})`,
      hint: 'install "no-such-program", or correct PATH',
    });
    const missing = exec.start([join(dir, "missing")]);
    await expect(missing).rejects.toMatchObject({ code: "host.binary-missing" });
  });

  it("tells a file that is not executable, and one whose interpreter is missing", async () => {
    const plain = join(dir, "plain");
    await writeFile(plain, "#!/bin/sh\n", { mode: 0o644 });
    await expect(exec.run([plain])).rejects.toThrow("EACCES when executing it");
    const script = join(dir, "script");
    await writeFile(script, "#!/no/such/interpreter\n", { mode: 0o755 });
    await expect(exec.run([script])).rejects.toThrow("it or its interpreter does not exist");
  });

  it("does not blame the program for a missing directory", async () => {
    const run = exec.run(["true"], { cwd: join(dir, "nowhere") });
    await expect(run).rejects.toMatchObject({ code: "process.failed" });
    await expect(run).rejects.toThrow("cannot be entered");
  });

  it("never runs a program of the current directory by an empty PATH entry", async () => {
    await writeFile(join(dir, "planted"), "#!/bin/sh\necho caught\n", { mode: 0o755 });
    for (const path of ["", ":", ".", `:${PATH}`]) {
      const run = exec.run(["planted"], { cwd: dir, env: { PATH: path } });
      await expect(run).rejects.toMatchObject({ code: "host.binary-missing" });
    }
  });

  it("does not repeat a value that holds a NUL byte", async () => {
    const error = await exec
      .run(["true"], { env: { TOKEN: "hunter2\0" } })
      .catch((it: unknown) => it);
    expect(String(error)).toContain('variable "TOKEN"');
    expect(String(error)).not.toContain("hunter2");
    await expect(exec.run(["true", "a\0"])).rejects.toThrow("argument 1 holds a NUL byte");
  });
});

describe("what a child gets", () => {
  it("has exactly the environment that is given", async () => {
    vi.stubEnv("NODE_V8_COVERAGE", join(dir, "coverage"));
    vi.stubEnv("SECRET_OF_OURS", "x");
    expect((await exec.run(["env"])).stdout.toString()).toBe("");
    const given = await exec.run(["env"], { env: { A: "1", PATH } });
    expect(given.stdout.toString()).toBe(`A=1\nPATH=${PATH}\n`);
    vi.unstubAllEnvs();
  });

  it("talks over any descriptor", async () => {
    await using child = await exec.start(["sh", "-c", "read line <&4; echo got $line >&4"], {
      stdio: ["ignore", "ignore", "ignore", "ignore", "pipe"],
    });
    const pipe = child.pipe(4)!;
    pipe.write("hello\n");
    const answer = await new Promise((resolve) => pipe.once("data", resolve));
    expect(String(answer)).toBe("got hello\n");
    expect(child.pipe(3)).toBeUndefined();
    expect(child.pipe(1)).toBeUndefined();
  });

  it.for([
    { name: "nothing of ours but what is passed", mode: "close", isCovered: false },
    { name: "/dev/null in place of what we inherited", mode: "", isCovered: true },
  ])("inherits $name", requires("linux"), async ({ mode, isCovered }) => {
    const script = `exec 9</etc/hostname 30</etc/hostname; exec "$@"`;
    const argv = ["bash", "-c", script, "bash", ...node("starts-child.ts", mode)];
    await using parent = await exec.start(argv, { env: { PATH } });
    const pid = Number(await firstLine(parent));
    const links = await Promise.all(
      (await readdir(`/proc/${pid}/fd`)).map(
        async (fd) => `${fd} ${await readlink(`/proc/${pid}/fd/${fd}`)}`,
      ),
    );
    process.kill(pid);
    const base = ["0 /dev/null", "1 /dev/null", "2 /dev/null", "3 socket"];
    const seen = links.map((it) => it.replace(/socket:.*/, "socket"));
    expect(seen).toEqual(expect.arrayContaining(base));
    const extra = seen.filter((it) => !base.includes(it));
    // Whoever runs the tests may leave descriptors of their own open.
    expect(extra.every((it) => it.endsWith(" /dev/null"))).toBe(true);
    expect(extra.includes("30 /dev/null")).toBe(isCovered);
    if (!isCovered) expect(extra).toEqual([]);
  });
});

describe("the end of a child", () => {
  it("is waited for, then forced", async () => {
    const child = await exec.start(node("ignores-sigterm.mjs"), { graceMs: 150 });
    await firstLine(child);
    const began = performance.now();
    const ends = [child.terminate(), child.terminate()];
    expect(await ends[0]).toEqual({ exitCode: undefined, signal: "SIGKILL" });
    expect(await ends[1]).toEqual(await child.exited);
    expect(performance.now() - began).toBeGreaterThan(140);
    expect(child.kill("SIGTERM")).toBe(false);
    expect(await child.terminate()).toEqual({ exitCode: undefined, signal: "SIGKILL" });
  });

  it("takes no longer than the child needs", async () => {
    const child = await exec.start(["sleep", "60"]);
    const began = performance.now();
    expect(await child.terminate(60_000)).toEqual({ exitCode: undefined, signal: "SIGTERM" });
    expect(performance.now() - began).toBeLessThan(5_000);
    // The timer of a minute must not keep this process alive; it is gone with the child.
    expect(process.getActiveResourcesInfo().filter((it) => it === "Timeout").length).toBeLessThan(
      5,
    );
  });

  it("takes the rest of the group with it, at once", async () => {
    const child = await exec.start(node("forks-grandchild.mjs", "group"), {
      env: { PATH },
    });
    const line = firstLine(child);
    const began = performance.now();
    expect(await child.exited).toMatchObject({ exitCode: 0 });
    expect(performance.now() - began).toBeLessThan(DRAIN_MS);
    await waitUntilGone(Number(await line));
  });

  it("is told in bounded time though a grandchild of another session holds the pipes", async () => {
    const began = performance.now();
    const result = await exec.run(node("forks-grandchild.mjs", "session"), {
      env: { PATH },
    });
    expect(result.exitCode).toBe(0);
    expect(performance.now() - began).toBeLessThan(DRAIN_MS + 2_000);
    const pid = Number(result.stdout.toString());
    expect(isGone(pid)).toBe(false);
    process.kill(pid);
  });

  it("comes with cancelling", async () => {
    const cancel = new AbortController();
    const child = await exec.start(["sleep", "60"], { signal: cancel.signal });
    cancel.abort();
    expect(await child.exited).toMatchObject({ signal: "SIGTERM" });
  });

  it("leaves our group alone in the foreground", async () => {
    const groupOf = async (pid: string): Promise<string> =>
      (await exec.run(["ps", "-o", "pgid=", "-p", pid], { env: { PATH } })).stdout
        .toString()
        .trim();
    await using child = await exec.start(["sleep", "60"], { placement: "foreground" });
    await using apart = await exec.start(["sleep", "60"]);
    expect(await groupOf(String(child.pid))).toBe(await groupOf(String(process.pid)));
    expect(await groupOf(String(apart.pid))).toBe(String(apart.pid));
  });
});

describe("stderr", () => {
  it("keeps the last 64 lines of a flood and logs each", async () => {
    let logged = 0;
    let last = "";
    const log = createLogger((line) => {
      if (!line.includes('"level":30')) return;
      logged += 1;
      last = line;
    });
    const child = await exec.start(node("floods-stderr.mjs", "20000"), { log, name: "flood" });
    await child.exited;
    const tail = child.stderrTail();
    expect(tail).toHaveLength(64);
    expect(tail[0]).toBe("line 19937");
    expect(tail.at(-1)).toBe("the end");
    expect(logged).toBe(20_001);
    expect(last).toContain(`[flood ${child.pid}] the end`);
  });

  it("belongs to whoever reads it", async () => {
    const child = await exec.start(["sh", "-c", "echo one >&2"]);
    const chunks: Buffer[] = [];
    child.stderr!.on("data", (chunk: Buffer) => chunks.push(chunk));
    await child.exited;
    expect(Buffer.concat(chunks).toString()).toBe("one\n");
    expect(child.stderrTail()).toEqual([]);
  });
});

describe("the end of the owner", () => {
  async function startOwner(mode: string): Promise<{ owner: Child; lease: number; plain: number }> {
    const owner = await exec.start(node("owner.ts", mode), { env: { PATH }, graceMs: 500 });
    const pids = JSON.parse(await firstLine(owner)) as { lease: number; plain: number };
    return { owner, ...pids };
  }

  it("ends a child that holds a lease, even by SIGKILL", async () => {
    const { owner, lease, plain } = await startOwner("");
    expect(isGone(lease)).toBe(false);
    process.kill(owner.pid, "SIGKILL");
    await owner.exited;
    await waitUntilGone(lease);
    // No net but a record catches a child without a lease.
    expect(killIfSame({ pid: plain, startTime: readStartTime(plain)! }, "SIGKILL")).toBe(true);
  });

  it("kills all children when it exits", async () => {
    const { owner, lease, plain } = await startOwner("exit");
    expect(await owner.exited).toMatchObject({ exitCode: 0 });
    await waitUntilGone(lease);
    await waitUntilGone(plain);
  });

  it("is not the end of a session of its own", async () => {
    const killSet = createKillSet();
    const own = createExec({ killSet });
    const stdio = ["ignore", "ignore", "ignore"] as const;
    const stays = await own.start(["sleep", "60"], { placement: "session", stdio });
    const goes = await own.start(["sleep", "60"], { stdio });
    killSet.killAll();
    expect(await goes.exited).toMatchObject({ signal: "SIGKILL" });
    expect(isGone(stays.pid)).toBe(false);
    expect(await stays.terminate()).toMatchObject({ signal: "SIGTERM" });
  });
});

describe("identity", requires("linux"), () => {
  it("kills only the very process of a record", async () => {
    const child = await exec.start(["sleep", "60"]);
    const startTime = readStartTime(child.pid)!;
    expect(startTime).toMatch(/^\d+$/);
    expect(isAlive({ pid: child.pid, startTime })).toBe(true);
    expect(isAlive({ pid: child.pid, startTime: `${startTime}1` })).toBe(false);
    expect(killIfSame({ pid: child.pid, startTime: "1" }, "SIGKILL")).toBe(false);
    expect(killIfSame({ pid: child.pid, startTime: "" }, "SIGKILL")).toBe(false);
    expect(killIfSame({ pid: child.pid, startTime }, "SIGKILL")).toBe(true);
    expect(await child.exited).toMatchObject({ signal: "SIGKILL" });
    expect(isAlive({ pid: child.pid, startTime })).toBe(false);
  });

  it("sees a zombie as gone", async () => {
    // The shell becomes a program that never waits for its child, and only then the child ends.
    await using parent = await exec.start(["sh", "-c", "read x <&3 & echo $!; exec sleep 60"], {
      stdio: ["ignore", "pipe", "ignore", "pipe"],
    });
    const pid = Number(await firstLine(parent));
    const nameOf = (id: number): Promise<string> => readFile(`/proc/${id}/comm`, "utf8");
    await vi.waitFor(async () => expect(await nameOf(parent.pid)).toBe("sleep\n"));
    expect(isAlive({ pid, startTime: "" })).toBe(true);
    parent.pipe(3)?.write("go\n");
    const stat = (): Promise<string> => readFile(`/proc/${pid}/stat`, "utf8");
    await vi.waitFor(async () => expect(await stat()).toContain(") Z "));
    expect(isAlive({ pid, startTime: "" })).toBe(false);
  });

  it("knows this process", () => {
    const owner = readOwner();
    expect(owner.pid).toBe(process.pid);
    expect(owner.start_time).toBe(readStartTime(process.pid));
    expect(owner.boot_id).toMatch(/^[0-9a-f-]{36}$/);
    expect(owner.pid_namespace).toMatch(/^pid:\[\d+\]$/);
  });
});
