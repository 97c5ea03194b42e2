// The end of a bottle against a guest that makes it hard: trees that resist removal, a full disk, logs without end.
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { systemClock } from "../../src/base/clock.ts";
import { silentLogger } from "../../src/base/log.ts";
import { RecordKeeper } from "../../src/bottle/claim.ts";
import { openAgentLog } from "../../src/cli/agent-log.ts";
import { openEventsFile } from "../../src/cli/events-file.ts";
import { createExec, EventHub, findLeftovers, findUnrecorded, reap } from "../../src/index.ts";
import { readPolicy } from "../../src/protocol/policy.ts";
import { readRecord } from "../../src/protocol/record.ts";
import { removeTree } from "../../src/provision/remove-tree.ts";
import { createFakeBackend, createFakeBundleHost } from "../../src/testing/index.ts";
import { makeWorld, openIn, type World } from "../support/bottle-world.ts";
import { requires } from "../support/requires.ts";
import { tempDir } from "../support/temp-dir.ts";

const main = join(import.meta.dirname, "../../src/cli/main.ts");
const NOBODY = 65_534;

/** A chain of directories far longer than any path may be. */
function makeDeep(directory: string, depth: number): void {
  const script = `import os,sys
os.chdir(sys.argv[1])
for _ in range(int(sys.argv[2])):
    os.mkdir("d"*200); os.chdir("d"*200)
open("f","w").write("hi")`;
  execFileSync("python3", ["-c", script, directory, String(depth)]);
}

describe("removeTree", requires("linux", "python3"), () => {
  it("removes a tree deeper than any path, and follows no link", async () => {
    const root = tempDir("bb-deep-");
    const outside = tempDir("bb-outside-");
    writeFileSync(join(outside, "kept"), "");
    const tree = join(root, "tree");
    mkdirSync(join(tree, "a"), { recursive: true });
    makeDeep(join(tree, "a"), 400);
    // Names that the removal itself might use.
    mkdirSync(join(tree, "0"));
    writeFileSync(join(tree, "1"), "");
    mkdirSync(join(tree, "2/full"), { recursive: true });
    symlinkSync(outside, join(tree, "a/link"));
    symlinkSync(outside, join(tree, "3"));
    writeFileSync(Buffer.concat([Buffer.from(`${tree}/`), Buffer.from([0xff, 0xfe])]), "");
    await removeTree(tree);
    expect(readdirSync(root)).toEqual([]);
    expect(readdirSync(outside)).toEqual(["kept"]);
  });

  it("removes what an ordinary user's guest has locked", requires("root"), () => {
    const root = tempDir("bb-locked-");
    const tree = join(root, "tree");
    mkdirSync(join(tree, "go/pkg/mod"), { recursive: true });
    writeFileSync(join(tree, "go/pkg/mod/file"), "");
    mkdirSync(join(tree, "shut/in/side"), { recursive: true });
    chmodSync(join(tree, "go/pkg/mod"), 0o555);
    chmodSync(join(tree, "shut/in"), 0);
    chmodSync(join(tree, "shut"), 0);
    execFileSync("chown", ["-R", String(NOBODY), root]);
    const module = join(import.meta.dirname, "../../src/provision/remove-tree.ts");
    const program = `import { removeTree } from ${JSON.stringify(module)}; await removeTree(process.argv[1]);`;
    const { stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", program, tree], {
      uid: NOBODY,
      gid: NOBODY,
      encoding: "utf8",
      cwd: "/",
    });
    expect(stderr).toBe("");
    expect(existsSync(tree)).toBe(false);
  });

  it("removes all it can, and says what stays", requires("root"), async () => {
    const tree = join(tempDir("bb-stuck-"), "tree");
    mkdirSync(join(tree, "a/mount"), { recursive: true });
    writeFileSync(join(tree, "b"), "");
    mountTmpfs(join(tree, "a/mount"), "1m");
    await expect(removeTree(tree)).rejects.toMatchObject({
      code: "host.unwritable",
      message: expect.stringMatching(/^cannot remove .*tree: EBUSY$/) as unknown,
    });
    expect(existsSync(join(tree, "b"))).toBe(false);
  });
});

function mountTmpfs(directory: string, size: string): void {
  mkdirSync(directory, { recursive: true });
  execFileSync("mount", ["-t", "tmpfs", "-o", `size=${size}`, "none", directory]);
  onTestFinished(() => void spawnSync("umount", ["-l", directory]));
}

/** Takes all space there is. */
function fill(directory: string): string {
  const file = join(directory, "filler");
  spawnSync("dd", ["if=/dev/zero", `of=${file}`, "bs=4096"]);
  return file;
}

const ports = (world: World) => ({
  exec: createExec(),
  clock: systemClock,
  log: silentLogger,
  searchPath: world.env["PATH"] ?? "",
  env: world.env,
});
const launchers = () => ({ backend: createFakeBackend(), bundleHost: createFakeBundleHost() });

describe("the state of a bottle", requires("linux", "python3"), () => {
  it("goes at the end, however deep the guest's tree is", async () => {
    const world = makeWorld();
    const bottle = await openIn(world, launchers());
    const session = await bottle.execAgent({ stdio: "null" });
    await session.exited;
    const hidden = join(bottle.plan.paths.guestHome, ".x");
    mkdirSync(hidden);
    makeDeep(hidden, 100);
    expect(await bottle.close()).toMatchObject({ failures: [], kept: undefined });
    expect(readdirSync(world.home.state)).toEqual([]);
  });

  it("is found again when its removal was not finished", async () => {
    const world = makeWorld();
    const gone = join(world.home.state, ".gone-worker-1.1.4194304.1");
    mkdirSync(join(gone, "home/.x"), { recursive: true });
    makeDeep(join(gone, "home/.x"), 100);
    const items = await findLeftovers(world.home);
    expect(items).toMatchObject([{ outcome: "remove", why: "its removal was not finished" }]);
    const bottle = await openIn(world, launchers());
    await bottle.close();
    expect(readdirSync(world.home.state)).toEqual([]);
  });

  it("without a record stays until it is named", () => {
    const world = makeWorld();
    mkdirSync(join(world.home.state, "lost/home/work"), { recursive: true });
    const cleanup = (...argv: string[]) =>
      spawnSync(process.execPath, [main, "cleanup", "--yes", ...argv], {
        env: { ...world.env, BOT_BOTTLE_HOME: world.home.home },
        encoding: "utf8",
        timeout: 60_000,
      });
    const first = cleanup();
    expect(first.status).toBe(0);
    expect(first.stderr).toContain("  lost");
    expect(readdirSync(world.home.state)).toEqual(["lost"]);
    const second = cleanup("lost");
    expect(second.stdout).toContain("no record");
    expect(second.status).toBe(0);
    expect(readdirSync(world.home.state)).toEqual([]);
  });

  it("that cannot be swept keeps the sweep from nothing else", requires("root"), async () => {
    const world = makeWorld();
    mkdirSync(join(world.home.state, ".gone-a.1.4194304.1/home"), { recursive: true });
    mkdirSync(join(world.home.state, ".gone-b.1.4194304.1/home"), { recursive: true });
    mountTmpfs(join(world.home.state, ".gone-a.1.4194304.1/home"), "1m");
    mkdirSync(join(world.home.run, "01234567"), { recursive: true });
    const bottle = await openIn(world, launchers());
    expect(readdirSync(world.home.state)).not.toContain(".gone-b.1.4194304.1");
    expect(existsSync(join(world.home.run, "01234567"))).toBe(false);
    await bottle.close();
  });
});

describe("the record", () => {
  it("is written again after a write that failed", async () => {
    const world = makeWorld();
    const bottle = await openIn(world, launchers());
    onTestFinished(() => bottle.close().then(() => undefined));
    const record = await readRecord(bottle.plan.paths.state);
    if (record === undefined) throw new Error("no record");
    const blocked = join(world.root, "blocked");
    writeFileSync(blocked, "");
    const keeper = new RecordKeeper(blocked, record);
    await expect(keeper.update({ exit_code: 3 })).rejects.toThrow();
    rmSync(blocked);
    await keeper.update({ label: "later" });
    expect(await readRecord(blocked)).toMatchObject({ exit_code: 3, label: "later" });
  });

  it("has the exit of an agent that ended just before the close", async () => {
    const world = makeWorld(
      "agent_provider: { template: command, settings: { argv: [/bin/sh, -c, exit 3] } }",
    );
    const bottle = await openIn(world, launchers());
    const session = await bottle.execAgent({ stdio: "null" });
    await session.exited;
    const { kept } = await bottle.close();
    expect(kept).toBe("the agent ended with status 3");
    expect(await readRecord(bottle.plan.paths.state)).toMatchObject({ exit_code: 3 });
  });
});

describe("a full disk", requires("linux", "root"), () => {
  /** A world whose home has little space. */
  function smallWorld(): World {
    const world = makeWorld();
    const aside = join(world.root, "aside");
    renameSync(world.home.home, aside);
    mountTmpfs(world.home.home, "24m");
    execFileSync("cp", ["-r", `${aside}/.`, world.home.home]);
    return world;
  }

  const start = (world: World, ...argv: readonly string[]): ChildProcess =>
    spawn(process.execPath, [main, "start", "worker", "--headless", ...argv], {
      env: { ...world.env, BOT_BOTTLE_HOME: world.home.home },
      stdio: ["ignore", "pipe", "pipe"],
    });

  async function ended(child: ChildProcess): Promise<{ status: number | null; text: string }> {
    let text = "";
    for (const stream of [child.stdout, child.stderr])
      stream?.on("data", (chunk: Buffer) => {
        text += chunk.toString();
      });
    const status = await new Promise<number | null>((resolve) => child.once("close", resolve));
    return { status, text };
  }

  it("takes neither the agent's status nor the teardown", requires("bwrap", "userns"), async () => {
    const world = smallWorld();
    const fillAndEnd = "dd if=/dev/zero of=$HOME/fill bs=4096 2>/dev/null; exit 3";
    const { status, text } = await ended(start(world, "--", "sh", "-c", fillAndEnd));
    expect([status, text]).toEqual([3, expect.any(String)]);
    expect(text).toContain("work kept: the agent ended with status 3");
    expect(text).not.toContain("Error:");
    expect(readdirSync(world.home.run)).toEqual([]);
    const [slug = ""] = readdirSync(world.home.state);
    expect(existsSync(join(world.home.state, slug, "home/fill"))).toBe(true);
  });

  it("does not end a bottle in the background", requires("bwrap", "userns"), async () => {
    const world = smallWorld();
    const script =
      "dd if=/dev/zero of=$HOME/fill bs=4096 2>/dev/null; yes | head -c 300000; rm $HOME/fill; echo BACK; sleep 1; echo DONE";
    const { status, text } = await ended(
      start(world, "--detach", "--keep", "--", "sh", "-c", script),
    );
    expect([status, text]).toEqual([0, expect.any(String)]);
    const [slug = ""] = readdirSync(world.home.state);
    const state = join(world.home.state, slug);
    await expect
      .poll(async () => (await readRecord(state))?.status, { timeout: 20_000 })
      .toBe("ended");
    expect(await readRecord(state)).toMatchObject({ exit_code: 0, kept: "asked for with --keep" });
    const log = readFileSync(join(state, "logs/agent.log"), "utf8");
    expect(log).toMatch(/\[bot-bottle: \d+ bytes of output are missing here: ENOSPC\]/);
    expect(log).toMatch(/BACK\n(?:.*\n)*DONE\n/);
  });

  it("keeps a dead bottle in the list until its record can be written", async () => {
    const world = smallWorld();
    const bottle = await openIn(world, launchers());
    onTestFinished(() => bottle.close().then(() => undefined));
    const { state } = bottle.plan.paths;
    // What a killed owner leaves, with work in it.
    const dead = join(world.home.state, "dead-1");
    execFileSync("cp", ["-rp", state, dead]);
    const file = join(dead, "metadata.json");
    const record = JSON.parse(readFileSync(file, "utf8")) as Record<string, unknown>;
    const empty = { processes: [], cgroups: [], objects: {} };
    const changed = {
      ...record,
      identity: "dead-1",
      run_dir: "",
      guest: empty,
      bundle: [],
      bundle_objects: {},
      owner: null,
    };
    writeFileSync(file, JSON.stringify(changed));
    writeFileSync(join(dead, "home", "work"), "work");
    const filler = fill(world.home.home);
    const [item] = (await findLeftovers(world.home)).filter(({ name }) => name === "dead-1");
    if (item === undefined) throw new Error("not found");
    expect(item.outcome).toBe("keep");
    const reaping = reap(item, world.home, ports(world), createFakeBackend());
    await expect(reaping).rejects.toMatchObject({ code: "host.disk-full" });
    expect((await findLeftovers(world.home)).map(({ name }) => name)).toContain("dead-1");
    expect(readFileSync(join(dead, "home/work"), "utf8")).toBe("work");
    rmSync(filler);
    await reap(item, world.home, ports(world), createFakeBackend());
    expect(await readRecord(dead)).toMatchObject({ status: "ended" });
    expect(await findUnrecorded(world.home)).toEqual([]);
  });

  it("ends the file of events, and nothing else", async () => {
    const directory = join(tempDir("bb-events-"), "small");
    mountTmpfs(directory, "64k");
    const events = new EventHub();
    const notes: string[] = [];
    const path = join(directory, "events");
    const file = await openEventsFile(path, events, (text) => notes.push(text));
    const filler = fill(directory);
    for (let at = 0; at < 3; at += 1) events.emit({ kind: "closing", why: "x".repeat(9000) });
    await file.flush();
    rmSync(filler);
    events.emit({ kind: "closing", why: "later" });
    await file[Symbol.asyncDispose]();
    expect(notes).toEqual([
      `bot-bottle: --events "${path}" ends here: it cannot be written (ENOSPC)`,
    ]);
  });
});

describe("the agent's log", () => {
  it("ends at its bound, and says so once", () => {
    const path = join(tempDir("bb-log-"), "agent.log");
    const log = openAgentLog(openSync(path, "a"), 10);
    for (const text of ["12345", "67890abc", "def"]) log.write(Buffer.from(text));
    log.close();
    log.write(Buffer.from("late"));
    expect(readFileSync(path, "utf8")).toBe(
      "1234567890\n[bot-bottle: the log is full, and what follows is not in it]\n",
    );
  });

  it("tells the policy in force, also after a reload", async () => {
    const world = makeWorld();
    const { backend, bundleHost } = launchers();
    const bottle = await openIn(world, { backend, bundleHost });
    const { state } = bottle.plan.paths;
    expect((await readPolicy(state))?.routes).toEqual(bottle.plan.policy.routes);
    const [bundle] = bundleHost.launched;
    const policy = { routes: [], resolve: { "a.test": { address: "10.0.0.1" } } };
    await bundle?.reload("egress", { policy, logLevel: 1 });
    expect(await readPolicy(state)).toMatchObject(policy);
    expect(readdirSync(state)).not.toContain("policy.json.new");
    await bottle.close();
  });
});
