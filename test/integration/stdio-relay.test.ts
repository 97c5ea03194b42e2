// What a guest inherits as descriptors 0-2: complete, in order, and nothing that leads back to the operator's files.
import { closeSync, openSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { quoteShell } from "../../src/process/quote-shell.ts";
import { createExec } from "../../src/process/spawn.ts";
import { openSafeStdio } from "../../src/process/stdio-relay.ts";
import { requires } from "../support/requires.ts";

const exec = createExec();
const PATH = "/usr/bin:/bin";
const TEN_MIB = 10 * 1024 * 1024;
const relay = [process.execPath, join(import.meta.dirname, "../fixtures/programs/relay.ts")];
let dir = "";

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "relay-test-"));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

/** A shell line in which `GUEST '…'` runs a shell behind the relay. */
function shell(line: string): ReturnType<typeof exec.run> {
  const guest = [...relay, dir, "sh", "-c"].map(quoteShell).join(" ");
  return exec.run(["sh", "-c", line.replaceAll("GUEST", guest)], { cwd: dir, env: { PATH } });
}

const read = (name: string): Promise<string> => readFile(join(dir, name), "utf8");

describe("output to a file", () => {
  it("is complete when the status is told", async () => {
    const result = await shell(`GUEST 'head -c ${TEN_MIB} /dev/zero; echo end; exit 7' > big.txt`);
    expect(result.exitCode).toBe(7);
    const bytes = await readFile(join(dir, "big.txt"));
    expect(bytes.length).toBe(TEN_MIB + 4);
    expect(bytes.subarray(TEN_MIB).toString()).toBe("end\n");
  });

  it("keeps the order of both outputs", async () => {
    const lines = `for i in $(seq 200); do echo out $i; echo err $i >&2; done`;
    await shell(`GUEST '${lines}' > both.txt 2>&1`);
    const wanted = Array.from({ length: 200 }, (_, i) => `out ${i + 1}\nerr ${i + 1}\n`).join("");
    expect(await read("both.txt")).toBe(wanted);
    await shell(`GUEST '${lines}' 2>&1 | cat > piped.txt`);
    expect(await read("piped.txt")).toBe(wanted);
  });

  it("is appended where the operator appends, and begins where the file's offset is", async () => {
    await writeFile(join(dir, "log.txt"), "before\n");
    await shell(`GUEST 'echo more' >> log.txt`);
    expect(await read("log.txt")).toBe("before\nmore\n");
    await shell(`{ echo head; GUEST 'echo body'; echo tail; } > offset.txt`);
    expect(await read("offset.txt")).toBe("head\nbody\ntail\n");
  });

  it("reports a full disk", requires("linux"), async () => {
    const result = await shell(`GUEST 'head -c 1000000 /dev/zero' > /dev/full`);
    expect(result.exitCode).toBe(125);
    expect(result.stderr.toString()).toBe(
      "host.disk-full: output not written: ENOSPC; it ends early\n",
    );
  });
});

describe("input", () => {
  it("comes from a file to its end", async () => {
    await writeFile(join(dir, "in.bin"), Buffer.alloc(TEN_MIB, "abcdefg"));
    const result = await shell(`GUEST 'sha256sum' < in.bin; sha256sum < in.bin`);
    const [ours, theirs] = result.stdout.toString().trim().split("\n");
    expect(ours).toBe(theirs);
  });

  it("that is not read holds nothing up", async () => {
    const result = await shell(`GUEST 'head -c 3' < in.bin; yes | GUEST 'head -n 1'`);
    expect(result.stdout.toString()).toBe("abcy\n");
  });

  it("comes from a pipe and from a socket", async () => {
    expect((await shell(`seq 3 | GUEST 'cat'`)).stdout.toString()).toBe("1\n2\n3\n");
    const child = await exec.start([...relay, dir, "cat"], { stdio: ["pipe", "pipe", "pipe"] });
    const chunks: Buffer[] = [];
    child.stdout!.on("data", (chunk: Buffer) => chunks.push(chunk));
    child.stdin!.end(Buffer.alloc(TEN_MIB, 1));
    expect(await child.exited).toMatchObject({ exitCode: 0 });
    expect(Buffer.concat(chunks).equals(Buffer.alloc(TEN_MIB, 1))).toBe(true);
  });

  it("cannot be a directory", async () => {
    const result = await shell(`GUEST 'ls -l /proc/self/fd/0/..' < .`);
    expect(result.exitCode).toBe(125);
    expect(result.stdout.toString()).toBe("");
    expect(result.stderr.toString()).toBe(
      "usage.path: standard input is a directory; a file, pipe or terminal is expected\n",
    );
  });
});

describe("a reader that goes away", () => {
  it("ends the guest's program as a shell would", async () => {
    const result = await shell(`GUEST 'yes; echo $? >&2' | head -n 1`);
    expect(result.stdout.toString()).toBe("y\n");
    // 141 is 128 + SIGPIPE; GNU yes says so itself when the signal is ignored.
    expect(result.stderr.toString()).toMatch(/^(141|yes: .*\n1)\n$/);
  });
});

describe("what the guest can reach through its descriptors", requires("linux"), () => {
  it("is a pipe, never the operator's file", async () => {
    await writeFile(join(dir, "precious"), "precious\n");
    const attack = `
      seen=$(cd /proc/$$/fd && stat -L -c %F 0 1 2 && readlink 0 1)
      echo "$seen" >&2
      timeout 1 sh -c "echo overwritten 1<>/proc/self/fd/0"
      timeout 1 sh -c "cat </proc/self/fd/1" >&2`;
    const result = await shell(`GUEST '${attack}' < precious > report.txt 2> seen.txt`);
    expect(result.stderr.toString()).toBe("");
    const seen = await read("seen.txt");
    expect(seen).toMatch(/^(fifo\n){3}(pipe:\[\d+\]\n){2}/);
    expect(seen).not.toContain("precious");
    expect(seen).not.toContain("report");
    expect(await read("precious")).toBe("precious\n");
  });

  it("is not the pipe from which the operator's shell reads on", async () => {
    const line = `(sleep 0.2; echo evil > /proc/self/fd/0) 2>/dev/null; true`;
    const result = await shell(
      `printf 'one\\n' | { read a; GUEST '${line}' >/dev/null; read b; echo "$a,$b"; }`,
    );
    expect(result.stdout.toString()).toBe("one,\n");
  });

  it("works by name for a guest of another uid", requires("root"), async () => {
    const drop = "setpriv --reuid 65533 --regid 65533 --clear-groups";
    const result = await shell(
      `GUEST '${drop} sh -c "echo out >/dev/stdout; echo err >/dev/stderr; cat /dev/stdin"' < /etc/hostname 2>&1`,
    );
    expect(result.stdout.toString()).toBe(`out\nerr\n${await readFile("/etc/hostname", "utf8")}`);
  });

  it("has /dev/null as it is", async () => {
    const line = `seen=$(stat -L -c %t,%T /proc/$$/fd/0 /proc/$$/fd/1); echo "$seen" >&2`;
    const result = await shell(`GUEST '${line}' </dev/null >/dev/null`);
    expect(result.stderr.toString()).toBe("1,3\n1,3\n");
  });
});

describe("openSafeStdio", () => {
  const open = (path: string): number => openSync(join(dir, path), "a");

  it("leaves no name and no descriptor behind, used or not", requires("linux"), async () => {
    const output = open("unused.txt");
    const before = (await readdir("/proc/self/fd")).length;
    for (let round = 0; round < 3; round += 1) {
      await using safe = await openSafeStdio({
        dir,
        exec,
        searchPath: PATH,
        descriptors: [output, output, output],
      });
      expect(safe.hasTerminal).toBe(false);
      expect(new Set(safe.stdio).size).toBe(2);
      if (round === 1) await safe.finish();
    }
    expect((await readdir("/proc/self/fd")).length).toBe(before);
    closeSync(output);
    expect((await readdir(dir)).filter((name) => name.startsWith("stdio-"))).toEqual([]);
  });

  it("passes on what was written though someone still holds the other end", async () => {
    const output = open("held.txt");
    const none = openSync("/dev/null", "r+");
    const safe = await openSafeStdio({
      dir,
      exec,
      searchPath: PATH,
      descriptors: [none, output, output],
    });
    const holder = await exec.start(["sh", "-c", "echo written; exec sleep 60"], {
      stdio: [...safe.stdio],
      env: { PATH },
    });
    await safe.finish();
    expect(await read("held.txt")).toBe("written\n");
    await holder.terminate();
    await safe[Symbol.asyncDispose]();
    for (const fd of [output, none]) closeSync(fd);
  });

  it("refuses a directory as output", async () => {
    const directory = openSync(dir, "r");
    const none = openSync("/dev/null", "r+");
    const opening = openSafeStdio({
      dir,
      exec,
      searchPath: PATH,
      descriptors: [none, directory, none],
    });
    await expect(opening).rejects.toMatchObject({ code: "usage.path" });
    closeSync(directory);
    closeSync(none);
  });
});
