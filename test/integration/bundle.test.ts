// The bundle as its owner and its neighbours see it: sandbox, secrets, restarts, ends. As root and as an ordinary user.
import { type ChildProcess, spawn } from "node:child_process";
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import net from "node:net";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { build } from "esbuild";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { verifyAudit } from "../../src/protocol/audit-read.ts";
import { requires } from "../support/requires.ts";
import { openTunnel, sendRaw } from "./egress-support/harness.ts";

const TOKEN = "sk-never-in-the-environment-31337";
const OWNER = join(import.meta.dirname, "egress-support/bundle-owner.ts");
const NOBODY = 65_534;
const isRoot = userInfo().uid === 0;
let built: string;
let entry: string;

beforeAll(async () => {
  built = mkdtempSync(join(tmpdir(), "bundle-built-"));
  chmodSync(built, 0o755);
  entry = join(built, "bundle.js");
  await build({
    entryPoints: [join(import.meta.dirname, "../../src/bundle/main.ts")],
    outfile: entry,
    bundle: true,
    platform: "node",
    format: "iife",
    target: "node24",
    logLevel: "warning",
  });
});

afterAll(() => rmSync(built, { recursive: true, force: true }));

interface Line {
  readonly kind: string;
  readonly pid?: number;
  readonly code?: string;
  readonly [field: string]: unknown;
}

class Owner implements AsyncDisposable {
  readonly directory = mkdtempSync(join(tmpdir(), "bundle-"));
  readonly lines: Line[] = [];
  readonly door = join(this.directory, "doors/proxy.sock");
  readonly process: ChildProcess;
  #waiting: (() => void)[] = [];

  constructor(user: "root" | "ordinary", searchPath = "/usr/bin:/bin") {
    for (const name of ["doors", "queue", "logs"]) mkdirSync(join(this.directory, name));
    const argv = [process.execPath, OWNER, this.directory, entry, TOKEN, searchPath];
    const isDropped = isRoot && user === "ordinary";
    if (isDropped)
      for (const path of ["", "doors", "queue", "logs"])
        chownSync(join(this.directory, path), NOBODY, NOBODY);
    const drop = ["setpriv", `--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups"];
    const [program = "", ...args] = isDropped ? [...drop, ...argv] : argv;
    this.process = spawn(program, args, { stdio: ["pipe", "pipe", "inherit"], cwd: "/" });
    if (this.process.stdout === null) throw new Error("no stdout");
    const add = (line: Line): void => {
      this.lines.push(line);
      for (const wake of this.#waiting.splice(0)) wake();
    };
    createInterface({ input: this.process.stdout }).on("line", (line) =>
      add(JSON.parse(line) as Line),
    );
    this.process.once("exit", (code) =>
      add({ kind: "failed", message: `the owner exited with ${code}` }),
    );
  }

  /** The `count`-th line of a kind; waits for it. */
  async next(kind: string, count = 1): Promise<Line> {
    for (;;) {
      const found = this.lines.filter((line) => line.kind === kind || line.kind === "failed")[
        count - 1
      ];
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  say(line: string): void {
    this.process.stdin?.write(`${line}\n`);
  }

  async pid(count = 1): Promise<number> {
    this.say("pid");
    return (await this.next("pid", count)).pid ?? 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.process.kill("SIGKILL");
    await vanish(() => this.lines.some((line) => line.pid !== undefined && isAlive(line.pid)));
    rmSync(this.directory, { recursive: true, force: true });
  }
}

function isAlive(pid: number): boolean {
  return existsSync(`/proc/${pid}`) && !readFileSync(`/proc/${pid}/stat`, "utf8").includes(") Z ");
}

const vanish = (isThere: () => boolean): Promise<void> =>
  vi.waitFor(() => expect(isThere()).toBe(false), { timeout: 5000, interval: 10 });

const refusal = (door: string): Promise<string> =>
  openTunnel(door, "evil.test:443").then(
    () => "connected",
    (error: Error) => error.message,
  );

const users = isRoot ? (["root", "ordinary"] as const) : (["ordinary"] as const);

describe.each(users)("a bundle of the user: %s", requires("bwrap"), (user) => {
  let owner: Owner;
  afterEach(() => owner[Symbol.asyncDispose]());

  it("becomes ready, enforces, reloads and stops", async () => {
    owner = new Owner(user);
    const ready = await owner.next("ready");
    expect(ready).toMatchObject({ kind: "ready" });
    expect(statSync(owner.door).mode & 0o777).toBe(0o666);
    expect(await refusal(owner.door)).toContain("egress: host-not-allowed");
    expect((await owner.next("event"))["event"]).toMatchObject({
      verdict: "deny",
      host: "evil.test",
    });
    owner.say("reload");
    expect((await owner.next("reloaded"))["refused"]).toMatch(/refused its new policy/);
    expect(await refusal(owner.door)).toContain("egress: host-not-allowed");
    expect(await verifyAudit(join(owner.directory, "audit.jsonl"))).toMatchObject({
      ok: true,
      lines: 2,
    });
    owner.say("stop");
    await owner.next("closed");
    expect(isAlive(ready.pid ?? 0)).toBe(false);
    expect(existsSync(owner.door)).toBe(false);
  });

  it("shows no secret, and sees no files of ours", async () => {
    owner = new Owner(user);
    const { pid = 0 } = await owner.next("ready");
    const argv = readFileSync(`/proc/${pid}/cmdline`, "latin1").split("\0");
    expect(argv[0]).toBe("/run/bundle/node");
    expect(readFileSync(`/proc/${pid}/environ`, "latin1").split("\0").toSorted()).toEqual([
      "",
      "LANG=C.UTF-8",
      "PATH=/usr/bin:/bin",
      "PWD=/",
    ]);
    for (const file of ["logs/bundle.log", "audit.jsonl"]) {
      expect(readFileSync(join(owner.directory, file), "latin1")).not.toContain(TOKEN);
    }
    expect(statSync(join(owner.directory, "logs/bundle.log")).mode & 0o777).toBe(0o600);
    expect(statSync(join(owner.directory, "audit.jsonl")).mode & 0o777).toBe(0o600);
    // Its view of the file system, through the kernel.
    const root = `/proc/${pid}/root`;
    for (const path of [
      "root",
      "home",
      "var",
      "etc/shadow",
      "etc/passwd",
      "run/bundle/logs",
      built.slice(1),
    ]) {
      expect(existsSync(join(root, path)), path).toBe(false);
    }
    expect(existsSync(join(root, "usr/bin"))).toBe(true);
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    expect(status).toMatch(/NoNewPrivs:\s+1\n/);
    for (const set of ["CapEff", "CapPrm", "CapAmb"])
      expect(status).toMatch(new RegExp(`${set}:\\s+0{16}\n`));
    const mounts = readFileSync(`/proc/${pid}/mounts`, "utf8")
      .split("\n")
      .map((line) => line.split(" "));
    const writable = mounts
      .filter(([, , , options]) => options?.split(",").includes("rw"))
      .map(([, at]) => at);
    const expected = ["/run/bundle/audit.jsonl", "/run/bundle/doors", "/run/bundle/queue", "/tmp"];
    const seen = writable.filter((at) => !at?.startsWith("/dev") && at !== "/proc");
    expect(new Set(seen)).toEqual(new Set(expected));
  });

  it("is restarted three times when it is killed, then gives up with every door closed", async () => {
    owner = new Owner(user);
    await owner.next("ready");
    for (let kill = 1; kill <= 4; kill += 1) {
      const pid = await owner.pid(kill);
      process.kill(pid, "SIGKILL");
      await vanish(() => isAlive(pid));
      if (kill < 4) {
        await owner.next("restart", kill);
        await expect
          .poll(() => refusal(owner.door), { timeout: 5000 })
          .toContain("host-not-allowed");
      }
    }
    expect(await owner.next("died")).toMatchObject({ code: "sidecar.died" });
    expect(existsSync(owner.door)).toBe(false);
    expect(await verifyAudit(join(owner.directory, "audit.jsonl"))).toMatchObject({ ok: true });
  });

  it("is gone when its owner is killed", async () => {
    owner = new Owner(user);
    const { pid = 0 } = await owner.next("ready");
    owner.process.kill("SIGKILL");
    await vanish(() => isAlive(pid));
    await expect(sendRaw(owner.door, "x", 500)).resolves.toBe("");
  });
});

describe("a bundle that cannot start", requires("bwrap"), () => {
  let owner: Owner;
  afterEach(() => owner[Symbol.asyncDispose]());

  it("names the missing program", async () => {
    owner = new Owner("ordinary", "/nonexistent");
    expect(await owner.next("ready")).toMatchObject({
      kind: "failed",
      code: "host.binary-missing",
      hint: expect.stringContaining("bubblewrap"),
    });
  });

  it("reports why, and leaves nothing behind", async () => {
    const good = readFileSync(entry);
    copyFileSync(entry, `${entry}.kept`);
    writeFileSync(entry, "process.stderr.write('no luck\\n'); process.exitCode = 3;");
    try {
      owner = new Owner("ordinary");
      expect(await owner.next("ready")).toMatchObject({
        kind: "failed",
        code: "sidecar.start",
        message: expect.stringContaining("status 3"),
      });
    } finally {
      writeFileSync(entry, good);
    }
  });
});

describe("the bundle's process", () => {
  const run = async (
    env: NodeJS.ProcessEnv,
    frames: readonly object[],
    isClosing = true,
  ): Promise<{ status: number | null; stderr: string; stdout: string }> => {
    const child = spawn(process.execPath, [entry], { env, stdio: "pipe" });
    const out = { stderr: "", stdout: "" };
    child.stderr.on("data", (chunk: Buffer) => (out.stderr += chunk.toString()));
    child.stdout.on("data", (chunk: Buffer) => (out.stdout += chunk.toString("latin1")));
    for (const frame of frames) {
      const payload = Buffer.from(JSON.stringify(frame));
      const head = Buffer.alloc(9);
      head.writeUInt32BE(payload.length);
      child.stdin.write(Buffer.concat([head, payload]));
    }
    if (isClosing) setTimeout(() => child.stdin.end(), 300);
    const status = await new Promise<number | null>((resolve) => child.once("exit", resolve));
    return { status, ...out };
  };
  const directory = mkdtempSync(join(tmpdir(), "bundle-main-"));
  afterAll(() => rmSync(directory, { recursive: true, force: true }));
  const door = join(directory, "proxy.sock");
  const config = {
    policy: { routes: [], resolve: {} },
    logLevel: 0,
    upstreamCa: [],
    scanSlots: [],
    placeholders: [],
    caCertificate: "",
  };
  const configure = (more: object = {}): object => ({
    kind: "configure",
    version: 1,
    slug: "test",
    auditFile: join(directory, "audit.jsonl"),
    daemons: [{ name: "egress", config, secrets: { EGRESS_CA_KEY: "not a key" }, door, ...more }],
  });

  it("idles without daemons and ends with its owner", async () => {
    const result = await run({ BOT_BOTTLE_SIDECAR_DAEMONS: "" }, [configure()]);
    expect(result.status).toBe(0);
    expect(result.stderr).toContain("[bundle] ");
    expect(result.stderr).toContain("no daemons selected");
    expect(result.stdout).toContain('"kind":"ready","daemons":[]');
  });

  it("refuses an unknown daemon and a malformed order, without repeating values", async () => {
    const unknown = await run({ BOT_BOTTLE_SIDECAR_DAEMONS: "egress, nonsense" }, [configure()]);
    expect([unknown.status, unknown.stdout]).toEqual([1, expect.stringContaining("nonsense")]);
    const secrets = { EGRESS_CA_KEY: 31_337_000 };
    const malformed = await run({}, [configure({ secrets })]);
    expect([malformed.status, malformed.stderr]).toEqual([
      1,
      expect.stringContaining("daemons.0.secrets"),
    ]);
    expect(malformed.stderr + malformed.stdout).not.toContain("31337000");
  });

  it("ends as a whole when a daemon cannot go on", async () => {
    const result = await run({}, [configure()], false);
    expect(result.status).toBe(1);
    await expect(
      new Promise((resolve, reject) =>
        net.connect(door, () => resolve("open")).on("error", reject),
      ),
    ).rejects.toThrow();
  });
});
