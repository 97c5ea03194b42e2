// A real guest-init: sessions, streams, lease, relay and the init door, as its owner sees them.

import { createHash } from "node:crypto";
import { stat } from "node:fs/promises";
import { connect, createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { openInitDoor } from "../../src/backends/shared/init-door.ts";
import { parseGuestPath } from "../../src/base/ids.ts";
import { DoorSocket } from "../../src/guest-init/relay.ts";
import { openTestGuest, PROGRAMS, program, run, type TestGuest } from "../support/guest-init.ts";
import { tempDir } from "../support/temp-dir.ts";

const MEBIBYTE = 1024 * 1024;

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

describe.each(PROGRAMS)("sessions (%s)", (_, file) => {
  let guest: TestGuest;
  beforeAll(async () => {
    guest = await openTestGuest({ program: file });
  });
  afterAll(async () => {
    await guest[Symbol.asyncDispose]();
    expect(guest.written()).toBe("");
  });

  it("run a program and give its output", async () => {
    expect(await run(guest, ["echo", "hello"])).toEqual({
      stdout: "hello\n",
      stderr: "",
      exitCode: 0,
      signal: undefined,
    });
  });

  it.each([
    ["exit 3", 3, undefined],
    ["exit 255", 255, undefined],
    ["kill -TERM $$", undefined, "SIGTERM"],
    ["kill -KILL $$", undefined, "SIGKILL"],
    ["kill -USR1 $$", undefined, "SIGUSR1"],
  ])("give the exit of `%s` exactly", async (script, exitCode, signal) => {
    expect(await run(guest, ["sh", "-c", script])).toMatchObject({ exitCode, signal });
  });

  it("tell a program that is missing from one that may not be run", async () => {
    const start = (argv: string[], cwd = "/"): Promise<unknown> =>
      guest.link.session(program(argv, { cwd: parseGuestPath(cwd) }));
    await expect(start(["no-such-program"])).rejects.toMatchObject({
      code: "launch.agent",
      details: { code: "ENOENT" },
    });
    await expect(start(["/no/such/program"])).rejects.toMatchObject({
      details: { code: "ENOENT" },
    });
    await expect(start(["/etc/passwd"])).rejects.toMatchObject({ details: { code: "EACCES" } });
    await expect(start(["/etc"])).rejects.toMatchObject({ details: { code: "EACCES" } });
    await expect(start(["true"], "/no/such/directory")).rejects.toMatchObject({
      code: "launch.agent",
    });
  });

  it("get the hello's and the order's environment and nothing else", async () => {
    const { stdout } = await run(guest, ["env"], { env: { MINE: "x", HELLO: "over" } });
    const names = stdout.trim().split("\n").sort();
    expect(names).toEqual(["HELLO=over", "MINE=x", "PATH=/usr/bin:/bin"]);
  });

  it("get no descriptor of ours", async () => {
    const { stdout } = await run(guest, ["sh", "-c", "ls /proc/self/fd"]);
    // 3 is the directory that ls reads.
    expect(stdout.trim().split("\n")).toEqual(["0", "1", "2", "3"]);
  });

  it("read their input to its end", async () => {
    const session = await guest.link.session(program(["sha256sum"]));
    const input = Buffer.alloc(3 * MEBIBYTE, "input");
    session.stdin?.end(input);
    expect(await text(session.stdout ?? Readable.from([]))).toContain(
      createHash("sha256").update(input).digest("hex"),
    );
    expect(await session.exited).toMatchObject({ exitCode: 0 });
  });

  it("survive input that nobody reads", async () => {
    const session = await guest.link.session(program(["true"]));
    session.stdin?.write(Buffer.alloc(2 * MEBIBYTE));
    expect(await session.exited).toMatchObject({ exitCode: 0 });
    await vi.waitFor(() => expect(session.stdin?.destroyed).toBe(true));
  });

  it("take signals for their whole group", async () => {
    const session = await guest.link.session(program(["sh", "-c", "sleep 100 & wait"]));
    session.kill("SIGTERM");
    expect(await session.exited).toEqual({ exitCode: undefined, signal: "SIGTERM" });
  });

  it("keep what was left in the background, and do not wait for it", async () => {
    const session = await guest.link.session(program(["sh", "-c", "sleep 100 & echo $!"]));
    const started = performance.now();
    const [pid] = await Promise.all([text(session.stdout ?? Readable.from([])), session.exited]);
    expect(performance.now() - started).toBeLessThan(10_000);
    expect(isAlive(Number(pid))).toBe(true);
    process.kill(Number(pid), "SIGKILL");
  });

  it("run without pipes", async () => {
    const session = await guest.link.session(
      program(["sh", "-c", "echo lost; exit 4"], { stdio: "null" }),
    );
    expect(session.stdout).toBeUndefined();
    expect(await session.exited).toMatchObject({ exitCode: 4 });
  });

  it("stream 50 MiB to a slow reader while others answer at once", async () => {
    const slow = await guest.link.session(
      program(["head", "-c", String(50 * MEBIBYTE), "/dev/zero"]),
    );
    const reader = (slow.stdout ?? Readable.from([]))[Symbol.asyncIterator]();
    let size = ((await reader.next()).value as Buffer).length;
    const started = performance.now();
    expect((await run(guest, ["echo", "quick"])).stdout).toBe("quick\n");
    expect(performance.now() - started).toBeLessThan(3_000);
    for (let next = await reader.next(); next.done !== true; next = await reader.next())
      size += (next.value as Buffer).length;
    expect(size).toBe(50 * MEBIBYTE);
    expect(await slow.exited).toMatchObject({ exitCode: 0 });
  });

  it("give the output of a program that has long exited to a reader that comes late", async () => {
    const size = 200 * 1024;
    const session = await guest.link.session(
      program(["sh", "-c", `head -c ${size} /dev/zero; head -c ${size} /dev/zero >&2`]),
    );
    const [out, err] = [
      await text(session.stdout ?? Readable.from([])),
      await text(session.stderr ?? Readable.from([])),
    ];
    expect([out.length, err.length]).toEqual([size, size]);
  });

  it("run a hundred at a time", async () => {
    const all = await Promise.all(
      Array.from({ length: 100 }, (_it, n) => run(guest, ["echo", String(n)])),
    );
    expect(all.map((it) => it.stdout)).toEqual(Array.from({ length: 100 }, (_it, n) => `${n}\n`));
  });

  it("answer fast", async () => {
    const times: number[] = [];
    for (let round = 0; round < 60; round += 1) {
      const started = performance.now();
      await run(guest, ["/bin/true"]);
      times.push(performance.now() - started);
    }
    const median = times.sort((a, b) => a - b)[30] ?? 0;
    console.log(`exec round trip: p50 ${median.toFixed(1)} ms, p95 ${times[57]?.toFixed(1)} ms`);
    expect(median).toBeLessThan(100);
  });
});

describe.each(PROGRAMS)("the lease (%s)", (_, file) => {
  it("kills a session that ignores signals, and its child", async () => {
    await using guest = await openTestGuest({ program: file });
    const script =
      "trap '' TERM INT HUP; (trap '' TERM; while :; do sleep 1; done) & echo $! $$; while :; do sleep 1; done";
    const session = await guest.link.session(program(["sh", "-c", script]));
    const pids: unknown = (await session.stdout?.[Symbol.asyncIterator]().next())?.value;
    const [child, leader] = String(pids).trim().split(" ").map(Number);
    expect(isAlive(child ?? 0) && isAlive(leader ?? 0)).toBe(true);
    guest.link.destroy();
    await guest.gone;
    await vi.waitFor(
      () => expect([isAlive(child ?? 0), isAlive(leader ?? 0)]).toEqual([false, false]),
      5_000,
    );
    await expect(session.exited).rejects.toMatchObject({ name: "LaunchError" });
    expect(await guest.link.closed).toBeUndefined();
  });

  it("does not care for the terminal's signals", async () => {
    await using guest = await openTestGuest({ program: file });
    for (const signal of ["SIGINT", "SIGQUIT", "SIGHUP", "SIGTERM"] as const)
      guest.child.kill(signal);
    expect((await run(guest, ["echo", "still here"])).stdout).toBe("still here\n");
  });

  it("ends with a shutdown: sessions are asked, then killed, then it exits with 0", async () => {
    await using guest = await openTestGuest({ program: file });
    const asked = await guest.link.session(
      program(["sh", "-c", "trap 'echo bye; exit 7' TERM; echo up; while :; do sleep 0.1; done"]),
    );
    const stubborn = await guest.link.session(
      program(["sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.1; done"]),
    );
    const output = [asked, stubborn].map((it) => it.stdout?.[Symbol.asyncIterator]());
    for (const it of output) await it?.next();
    void asked.stdout?.resume();
    await guest.link.shutdown();
    expect(await asked.exited).toMatchObject({ exitCode: 7 });
    expect(await stubborn.exited).toMatchObject({ signal: "SIGKILL" });
    expect(await guest.gone).toBe(0);
  });

  it("is noticed by the owner when guest-init is killed", async () => {
    await using guest = await openTestGuest({ program: file });
    const session = await guest.link.session(program(["sleep", "100"]));
    guest.child.kill("SIGKILL");
    await guest.link.closed;
    await expect(session.exited).rejects.toMatchObject({ name: "LaunchError" });
    await expect(guest.link.session(program(["true"]))).rejects.toMatchObject({
      code: "protocol.closed",
    });
    process.kill(-session.pid, "SIGKILL");
  });
});

describe("the init door", () => {
  it("takes one connection, then does not exist", async () => {
    const path = join(tempDir("door-"), "init.sock");
    await using door = await openInitDoor(path);
    expect((await stat(path)).mode & 0o777).toBe(0o666);
    const [first, second] = [connect(path), connect(path)];
    const ended = new Promise((resolve) =>
      second
        .once("close", resolve)
        .on("error", () => undefined)
        .resume(),
    );
    const socket = await door.accept({ timeoutMs: 5_000 });
    await ended;
    const third = connect(path);
    const refused = await new Promise<NodeJS.ErrnoException>((resolve) =>
      third.once("error", resolve),
    );
    expect(["ENOENT", "ECONNREFUSED"]).toContain(refused.code);
    await expect(stat(path)).rejects.toMatchObject({ code: "ENOENT" });
    first.destroy();
    socket.destroy();
  });

  it("gives up after its deadline and refuses a path that is too long", async () => {
    const dir = tempDir("door-");
    await using door = await openInitDoor(join(dir, "init.sock"));
    await expect(door.accept({ timeoutMs: 20 })).rejects.toMatchObject({
      code: "launch.guest-init",
    });
    await expect(openInitDoor(join(dir, "x".repeat(100)))).rejects.toMatchObject({
      code: "launch.backend",
    });
  });

  it("replaces a socket that an earlier run left", async () => {
    const path = join(tempDir("door-"), "init.sock");
    const left = createServer().listen(path);
    await new Promise((resolve) => left.once("listening", resolve));
    await using door = await openInitDoor(path);
    left.close();
    expect(door.path).toBe(path);
  });
});

describe.each(PROGRAMS)("the relay (%s)", (_, file) => {
  let guest: TestGuest;
  let echo: Server;
  let port = 0;
  let silentPort = 0;
  beforeAll(async () => {
    const dir = tempDir("relay-");
    [port, silentPort] = [await freePort(), await freePort()];
    // Echoes, and says goodbye once the other side has ended.
    echo = createServer({ allowHalfOpen: true }, (socket) => {
      socket.on("error", () => undefined);
      socket.on("data", (chunk) => {
        if (chunk.toString().startsWith("refuse")) socket.end("refused", () => socket.destroy());
        else if (socket.writable) socket.write(chunk);
      });
      socket.on("end", () => socket.end("bye"));
    });
    await new Promise<void>((resolve) => void echo.listen(join(dir, "echo.sock"), resolve));
    const relays = [
      { port, socket: join(dir, "echo.sock") },
      { port: silentPort, socket: join(dir, "nobody.sock") },
    ];
    guest = await openTestGuest({ program: file, relays });
  });
  afterAll(async () => {
    await guest[Symbol.asyncDispose]();
    echo.close();
  });

  it("carries bytes both ways and half-closed connections", async () => {
    const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
    socket.end("hello ");
    expect(await text(socket)).toBe("hello bye");
  });

  it("carries much", async () => {
    const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
    const sent = Buffer.alloc(20 * MEBIBYTE, "0123456789");
    socket.end(sent);
    expect((await text(socket)).length).toBe(sent.length + 3);
  });

  it("delivers the answer of a door that refuses an upload in the middle", async () => {
    const upload = Buffer.alloc(65_536, "refuse");
    for (let round = 0; round < 30; round += 1) {
      // A client that, like curl, reads what has arrived even when a write of its own fails.
      const socket = new DoorSocket();
      socket.connect({ port, host: "127.0.0.1" });
      socket.on("error", () => undefined);
      // In turns of the loop: writes to a side that has failed return at once, and the answer would never be read.
      const more = (): void => {
        if (!socket.destroyed) socket.write(upload, () => void setImmediate(more));
      };
      for (let ahead = 0; ahead < 4; ahead += 1) more();
      const answer = await new Promise((resolve) => socket.once("data", resolve));
      expect(String(answer)).toBe("refused");
      socket.destroy();
    }
  });

  it("resets an upload that nobody takes any more, also where the client never reads", async () => {
    const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
    const piece = Buffer.from("refuse");
    const more = (): void => {
      if (!socket.destroyed) socket.write(piece, () => void setImmediate(more));
    };
    const failed = new Promise<NodeJS.ErrnoException>((resolve) => socket.once("error", resolve));
    socket.pause();
    more();
    expect((await failed).code).toMatch(/ECONNRESET|EPIPE/);
  });

  it("resets a connection to a door that does not answer", async () => {
    expect(await failureOf(connect({ port: silentPort, host: "127.0.0.1" }))).toBe("ECONNRESET");
  });

  it("survives clients that reset, many times over", async () => {
    for (let round = 0; round < 200; round += 1) {
      const socket = connect({ port, host: "127.0.0.1" });
      socket.on("error", () => undefined);
      socket.write("x");
      await new Promise((resolve) => socket.once("data", resolve));
      socket.resetAndDestroy();
    }
    const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
    socket.end("on ");
    expect(await text(socket)).toBe("on bye");
  });

  it("lets a probe see which door answers", async () => {
    const { link } = guest;
    expect(await link.probe({ type: "door", port, timeoutMs: 2_000 })).toBe("connected");
    expect(await link.probe({ type: "door", port: silentPort, timeoutMs: 2_000 })).toBe("refused");
    const nobody = await freePort();
    expect(await link.probe({ type: "door", port: nobody, timeoutMs: 2_000 })).toBe("refused");
    expect(await link.probe({ type: "tcp", host: "127.0.0.1", port, timeoutMs: 2_000 })).toBe(
      "connected",
    );
    expect(
      await link.probe({ type: "tcp", host: "127.0.0.1", port: nobody, timeoutMs: 2_000 }),
    ).toBe("refused");
    expect((await link.probe({ type: "interfaces" })).split(",")).toContain("lo");
  });

  it("that cannot listen ends the launch", async () => {
    const relays = [{ port, socket: "/nowhere" }];
    await expect(openTestGuest({ program: file, relays })).rejects.toMatchObject({
      code: "launch.guest-init",
    });
  });
});

describe.each(PROGRAMS)("started wrongly (%s)", (_, file) => {
  it("says why in one line and exits", async () => {
    await using guest = await openTestGuest();
    const script = `"$0" --no-warnings "$1" /no/such/door`;
    const ran = await run(guest, ["sh", "-c", script, process.execPath, file]);
    expect(ran.stderr).toMatch(/^guest-init: not connected to the init door: .*ENOENT.*\n$/);
    expect(ran.exitCode).toBe(1);
  });
});

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === "object" && address !== null ? address.port : 0;
}

function failureOf(socket: Socket): Promise<string | undefined> {
  return new Promise((resolve) => {
    socket.once("error", (error: NodeJS.ErrnoException) => resolve(error.code));
    socket.once("end", () => resolve(undefined));
    socket.resume();
  });
}
