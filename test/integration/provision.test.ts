// What a bottle is given before its agent runs: the workspace's copy, skills, the agent's program, parts of the host's /etc.
import { execFileSync, spawnSync } from "node:child_process";
import {
  chmodSync,
  cpSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { ProgramLocator } from "../../src/providers/provider.ts";
import { mergedCaBundle } from "../../src/provision/ca.ts";
import { copyHostEtc } from "../../src/provision/host-etc.ts";
import { locateProgram } from "../../src/provision/program.ts";
import { removeTree } from "../../src/provision/remove-tree.ts";
import { skillItems } from "../../src/provision/skills.ts";
import {
  compareTree,
  readSnapshot,
  snapshotTree,
  writeSnapshot,
} from "../../src/provision/work-kept.ts";
import { copyWorkspace } from "../../src/provision/workspace.ts";
import { createAuthority } from "../../src/tls/authority.ts";
import { requires } from "../support/requires.ts";

const ROOT = resolve(import.meta.dirname, "../..");

let dir: string;
let source: string;
let target: string;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "bb-provision-"));
  source = join(dir, "source");
  target = join(dir, "state", "workspace");
  mkdirSync(source);
  mkdirSync(join(dir, "state"));
});

afterEach(async () => {
  await removeTree(dir);
});

function git(...args: string[]): string {
  const identity = [
    "-c",
    "user.name=T",
    "-c",
    "user.email=t@example.com",
    "-c",
    "safe.directory=*",
  ];
  return execFileSync("git", [...identity, ...args], { encoding: "utf8" });
}

function write(path: string, text = path, mode = 0o644): string {
  const file = join(source, path);
  mkdirSync(join(file, ".."), { recursive: true });
  writeFileSync(file, text);
  chmodSync(file, mode);
  return file;
}

describe("copyWorkspace", () => {
  it("copies files, directories, modes and times", async () => {
    utimesSync(write("src/run.sh", "#!/bin/sh\n", 0o751), 1_700_000_000, 1_600_000_000.25);
    write("empty", "");
    mkdirSync(join(source, "closed"));
    write("closed/inside");
    chmodSync(join(source, "closed"), 0o555);
    const copy = await copyWorkspace({ source, target });
    expect(readFileSync(join(target, "src/run.sh"), "utf8")).toBe("#!/bin/sh\n");
    expect(statSync(join(target, "src/run.sh")).mode & 0o7777).toBe(0o751);
    expect(statSync(join(target, "src/run.sh")).mtimeMs).toBeCloseTo(1_600_000_000_250, 0);
    expect(statSync(join(target, "closed")).mode & 0o7777).toBe(0o555);
    expect(copy).toMatchObject({ files: 3, warnings: [] });
    expect(copy.snapshot.stamps.size).toBe(5);
  });

  it("recreates links without following them, in or outward", async () => {
    write("real");
    symlinkSync("real", join(source, "in"));
    symlinkSync("/etc/passwd", join(source, "out"));
    symlinkSync(dir, join(source, "up"));
    symlinkSync("nowhere", join(source, "dangling"));
    await copyWorkspace({ source, target });
    expect(lstatSync(join(target, "out")).isSymbolicLink()).toBe(true);
    expect(readlinkSync(join(target, "out"))).toBe("/etc/passwd");
    expect(lstatSync(join(target, "up")).isSymbolicLink()).toBe(true);
    expect(readlinkSync(join(target, "dangling"))).toBe("nowhere");
  });

  it("does not share content with the source", async () => {
    linkSync(write("a", "before"), join(source, "b"));
    await copyWorkspace({ source, target });
    writeFileSync(join(target, "a"), "after");
    expect(readFileSync(join(source, "a"), "utf8")).toBe("before");
    expect(statSync(join(target, "a")).nlink).toBe(1);
  });

  it("drops setuid, setgid and sticky bits", async () => {
    write("suid", "x", 0o6755);
    mkdirSync(join(source, "shared"));
    chmodSync(join(source, "shared"), 0o3775);
    await copyWorkspace({ source, target });
    expect(statSync(join(target, "suid")).mode & 0o7777).toBe(0o755);
    expect(statSync(join(target, "shared")).mode & 0o7777).toBe(0o775);
  });

  it("leaves pipes and sockets behind and says so", async () => {
    execFileSync("mkfifo", [join(source, "pipe")]);
    const server = createServer().listen(join(source, "sock"));
    await new Promise((done) => server.once("listening", done));
    const { warnings } = await copyWorkspace({ source, target });
    server.close();
    expect(readdirSync(target)).toEqual([]);
    expect(warnings).toEqual(["sockets, pipes or devices were not copied: pipe, sock"]);
  });

  it("keeps names that are not UTF-8", async () => {
    const name = Buffer.from([0x66, 0xff, 0xfe]);
    writeFileSync(Buffer.concat([Buffer.from(`${source}/`), name]), "latin");
    const { snapshot } = await copyWorkspace({ source, target });
    expect(readdirSync(Buffer.from(target), { encoding: "buffer" })).toEqual([name]);
    expect(await compareTree(target, snapshot)).toBeUndefined();
  });

  it("copies large files whole and sparse files without filling their holes", async () => {
    const large = Buffer.alloc(3_000_001, "large");
    writeFileSync(join(source, "large"), large);
    writeFileSync(join(source, "sparse"), "start", { mode: 0o600 });
    truncateSync(join(source, "sparse"), 64 * 1024 * 1024);
    await copyWorkspace({ source, target });
    expect(readFileSync(join(target, "large")).equals(large)).toBe(true);
    const sparse = statSync(join(target, "sparse"));
    expect(sparse.size).toBe(64 * 1024 * 1024);
    expect(sparse.blocks * 512).toBeLessThan(2 * 1024 * 1024);
    expect(sparse.mode & 0o777).toBe(0o600);
    expect(readFileSync(join(target, "sparse")).toString("latin1", 0, 6)).toBe("start\0");
  });

  it("gives the copy to its owner", requires("root"), async () => {
    write("sub/file");
    symlinkSync("file", join(source, "sub/link"));
    await copyWorkspace({ source, target, owner: { uid: 61234, gid: 61234 } });
    for (const path of ["", "sub", "sub/file", "sub/link"]) {
      expect(lstatSync(join(target, path)).uid).toBe(61234);
    }
  });

  it("refuses a source in which the copy would lie", async () => {
    const inside = join(source, ".bot-bottle/state/x/workspace");
    await expect(copyWorkspace({ source, target: inside })).rejects.toMatchObject({
      code: "launch.workspace",
      message: expect.stringContaining("contains bot-bottle's own state"),
    });
    symlinkSync(source, join(dir, "alias"));
    const alias = copyWorkspace({ source: join(dir, "alias"), target: inside });
    await expect(alias).rejects.toMatchObject({ code: "launch.workspace" });
  });

  it("names what is missing or in the way", async () => {
    await expect(copyWorkspace({ source: join(dir, "none"), target })).rejects.toMatchObject({
      code: "launch.workspace",
      message: expect.stringContaining(join(dir, "none")),
    });
    mkdirSync(target);
    writeFileSync(join(target, "old"), "");
    await expect(copyWorkspace({ source, target })).rejects.toThrow("is not empty");
  });

  it("stops when it is cancelled, and tells how far it is", async () => {
    for (let i = 0; i < 1000; i++) writeFileSync(join(source, `f${i}`), "x");
    const stop = new AbortController();
    let now = 0;
    const clock = { now: () => 0, monotonic: () => (now += 5), sleep: () => Promise.resolve() };
    const details: string[] = [];
    const copying = copyWorkspace({
      source,
      target,
      signal: stop.signal,
      clock,
      onProgress: (detail) => {
        details.push(detail);
        stop.abort(new Error("enough"));
      },
    });
    await expect(copying).rejects.toThrow("enough");
    expect(details).toEqual([expect.stringMatching(/^\d+ files, 0 MiB$/)]);
    expect(readdirSync(target).length).toBeLessThan(1000);
  });

  it("copies a repository in which git works", requires("git"), async () => {
    git("init", "-q", source);
    write("a.txt");
    git("-C", source, "add", ".");
    git("-C", source, "commit", "-qm", "first");
    const { warnings } = await copyWorkspace({ source, target });
    expect(warnings).toEqual([]);
    expect(git("-C", target, "status", "--porcelain")).toBe("");
    expect(git("-C", target, "log", "--format=%s")).toBe("first\n");
  });

  it("copies a worktree as it is, with a warning", requires("git"), async () => {
    const main = join(dir, "main");
    git("init", "-q", main);
    git("-C", main, "commit", "-q", "--allow-empty", "-m", "x");
    rmSync(source, { recursive: true });
    git("-C", main, "worktree", "add", "-q", source);
    const { warnings } = await copyWorkspace({ source, target });
    expect(readFileSync(join(target, ".git"), "utf8")).toMatch(/^gitdir: /);
    expect(warnings).toEqual([expect.stringContaining("git worktree or submodule")]);
  });

  it("warns of objects that are borrowed from outside", requires("git"), async () => {
    const main = join(dir, "main");
    git("init", "-q", main);
    git("-C", main, "commit", "-q", "--allow-empty", "-m", "x");
    rmSync(source, { recursive: true });
    git("clone", "-q", "--shared", main, source);
    const { warnings } = await copyWorkspace({ source, target });
    expect(warnings).toEqual([expect.stringContaining("borrows objects from outside")]);
  });

  it("says what to do when the disk is full or a file unreadable", requires("bwrap"), () => {
    writeFileSync(join(source, "big"), Buffer.alloc(400_000, "x"));
    expect(copyInSandbox()).toMatchObject({
      code: "host.disk-full",
      message: expect.stringContaining(source),
      hint: expect.stringContaining("bot-bottle cleanup"),
    });
    rmSync(join(source, "big"));
    write("secret", "x", 0o000);
    expect(copyInSandbox()).toMatchObject({
      code: "launch.workspace",
      message: expect.stringContaining(join(source, "secret")),
      hint: expect.stringContaining("make it readable"),
    });
  });
});

/** Copies the source onto a disk of 64 KiB, without root's rights. */
function copyInSandbox(): unknown {
  const program = `
    const { copyWorkspace } = await import(${JSON.stringify(join(ROOT, "src/provision/workspace.ts"))});
    await copyWorkspace({ source: process.argv[1], target: "/tmp/small/copy" }).catch((error) =>
      console.log(JSON.stringify({ code: error.code, message: error.message, hint: error.hint })));`;
  const view = ["--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--size", "65536"];
  const drop = ["--unshare-user", "--uid", "1000", "--cap-drop", "ALL"];
  const at = ["--tmpfs", "/tmp", "--ro-bind", source, source, "--ro-bind", ROOT, ROOT];
  const small = ["--size", "65536", "--tmpfs", "/tmp/small"];
  const node = [process.execPath, "--input-type=module", "-e", program, source];
  const nodeView = ["--ro-bind", process.execPath, process.execPath];
  const { stdout, stderr } = spawnSync(
    "bwrap",
    [...drop, ...view, ...at, ...nodeView, ...small, ...node],
    { encoding: "utf8" },
  );
  expect(stdout, stderr).not.toBe("");
  return JSON.parse(stdout);
}

describe("compareTree", () => {
  async function given(): Promise<string> {
    write("a/b/file", "text");
    write("other");
    symlinkSync("other", join(source, "link"));
    writeSnapshot(join(dir, "given.json"), await snapshotTree(source));
    return join(dir, "given.json");
  }
  const change = async (file: string): Promise<string | undefined> =>
    compareTree(source, (await readSnapshot(file))!);

  it("sees no change where there is none, temporary files included", async () => {
    const file = await given();
    writeFileSync(join(source, "a/tmp"), "");
    rmSync(join(source, "a/tmp"));
    expect(await change(file)).toBeUndefined();
  });

  it.each<[string, () => void, string]>([
    ["an addition", () => writeFileSync(join(source, "a/new"), ""), "a/new was added"],
    ["a removal", () => rmSync(join(source, "other")), "other was removed"],
    [
      "an edit",
      () => writeFileSync(join(source, "other"), "longer than before"),
      "other was changed",
    ],
    ["a mode", () => chmodSync(join(source, "a/b"), 0o700), "a/b was changed"],
    ["an emptied directory", () => rmSync(join(source, "a"), { recursive: true }), "a was removed"],
    [
      "an edit of the same length whose time was set back",
      () => {
        const { atime, mtime } = statSync(join(source, "a/b/file"));
        writeFileSync(join(source, "a/b/file"), "TEXT");
        utimesSync(join(source, "a/b/file"), atime, mtime);
      },
      "a/b/file was changed",
    ],
    [
      "another file in its place",
      () => {
        cpSync(join(source, "other"), join(dir, "twin"), { preserveTimestamps: true });
        renameSync(join(dir, "twin"), join(source, "other"));
      },
      "other was changed",
    ],
    [
      "a link that leads elsewhere",
      () => {
        rmSync(join(source, "link"));
        symlinkSync("a", join(source, "link"));
      },
      "link was changed",
    ],
    ["a missing tree", () => rmSync(source, { recursive: true }), "it cannot be read"],
  ])("sees %s", async (_what, act, expected) => {
    const file = await given();
    act();
    expect(await change(file)).toContain(expected);
  });

  it("leaves an agent's own state in a home out", async () => {
    write(".claude.json", "{}");
    write("notes.txt");
    const snapshot = await snapshotTree(source, { ignoresDotFiles: true });
    write(".claude.json", '{"changed":true}');
    write(".cache/x");
    expect(await compareTree(source, snapshot)).toBeUndefined();
    write("project/.hidden");
    expect(await compareTree(source, snapshot)).toContain("project was added");
  });

  it("tells git status from git add", requires("git"), async () => {
    git("init", "-q", source);
    write("a.txt", "one");
    git("-C", source, "add", ".");
    git("-C", source, "commit", "-qm", "x");
    const { snapshot } = await copyWorkspace({ source, target });
    const before = readFileSync(join(target, ".git/index"));
    git("-C", target, "status");
    expect(readFileSync(join(target, ".git/index")).equals(before)).toBe(false);
    expect(await compareTree(target, snapshot)).toBeUndefined();
    git("-C", target, "rm", "-q", "--cached", "a.txt");
    expect(await compareTree(target, snapshot)).toBe(".git/index was changed");
  });

  it("does not take a damaged snapshot for no change", async () => {
    expect(await readSnapshot(join(dir, "none.json"))).toBeUndefined();
    for (const text of [
      "",
      "{}",
      '{"version":1,"ignores_dot_files":false,"git_index":null,"stamps":["a"]}',
    ]) {
      writeFileSync(join(dir, "bad.json"), text);
      await expect(readSnapshot(join(dir, "bad.json"))).rejects.toMatchObject({
        code: "protocol.record",
      });
    }
  });
});

describe("removeTree", () => {
  it("removes directories that nobody may write, and follows no link", async () => {
    write("kept");
    const home = join(dir, "state");
    mkdirSync(join(home, "go/mod/cache"), { recursive: true });
    writeFileSync(join(home, "go/mod/cache/file"), "x");
    symlinkSync(source, join(home, "go/link"));
    for (const [path, mode] of [
      ["go/mod/cache", 0o555],
      ["go/mod", 0o000],
    ] as const) {
      chmodSync(join(home, path), mode);
    }
    await removeTree(home);
    expect(existsSync(home)).toBe(false);
    expect(readdirSync(source)).toEqual(["kept"]);
    await removeTree(home);
  });
});

describe("skillItems", () => {
  it("gives a skill's files, also where the skill is a link into a collection", async () => {
    write("collection/greet/SKILL.md", "hello");
    write("collection/greet/bin/run", "x", 0o755);
    symlinkSync("collection/greet", join(source, "greet"));
    const found: string[] = [];
    for await (const { entry, content } of skillItems({
      name: "greet",
      hostPath: join(source, "greet"),
    })) {
      found.push(`${entry.type} ${entry.path}`);
      for await (const chunk of content ?? []) found.push(Buffer.from(chunk).toString());
    }
    expect(found.toSorted()).toEqual(
      ["directory ", "file SKILL.md", "hello", "directory bin", "file bin/run", "x"].toSorted(),
    );
  });

  it("is an error when the skill is gone", async () => {
    const items = skillItems({ name: "greet", hostPath: join(source, "greet") });
    await expect(items.next()).rejects.toMatchObject({
      code: "launch.provision",
      message: expect.stringContaining('skill "greet"'),
    });
  });
});

describe("locateProgram", () => {
  const ELF = Buffer.from("7f454c46", "hex");
  const locator: ProgramLocator = {
    name: "agent",
    variable: "BOT_BOTTLE_AGENT",
    natives: ["../../agent-{arch}/{machine}/agent", "../node_modules/agent-{arch}/agent"],
    companions: ["helper", "../absent"],
    npmPackage: "@example/agent",
  };
  const find = (searchPath: string, override?: string): ReturnType<typeof locateProgram> =>
    locateProgram(locator, { searchPath, override, guestDirectory: "/opt/agents", arch: "arm64" });

  function installPackage(native: string): void {
    write("pkg/agent/bin/agent.js", "#!/usr/bin/env node\n", 0o755);
    mkdirSync(join(source, "bin"));
    symlinkSync("../pkg/agent/bin/agent.js", join(source, "bin/agent"));
    writeFileSync(write(native, "", 0o755), ELF);
  }

  it.each(["pkg/agent-arm64/aarch64/agent", "pkg/agent/node_modules/agent-arm64/agent"])(
    "finds the native program of a launcher at %s, and what lies beside it",
    async (native) => {
      installPackage(native);
      const helper = write(join(native, "../helper"), "x", 0o755);
      expect(await find(`relative:${join(source, "bin")}`)).toEqual({
        hostPath: join(source, native),
        mounts: [
          { hostPath: join(source, native), guestPath: "/opt/agents/agent" },
          { hostPath: helper, guestPath: "/opt/agents/helper" },
        ],
      });
    },
  );

  it("takes a native program as it is, and the variable before PATH", async () => {
    installPackage("pkg/agent-arm64/aarch64/agent");
    writeFileSync(write("own/agent-2", "", 0o755), ELF);
    const found = await find(join(source, "bin"), join(source, "own/agent-2"));
    expect(found?.mounts).toEqual([
      { hostPath: join(source, "own/agent-2"), guestPath: "/opt/agents/agent" },
    ]);
  });

  it("does not look where we stand", async () => {
    expect(await find("")).toBeUndefined();
    expect(await find(":.")).toBeUndefined();
  });

  it("refuses a launcher whose native program is missing", async () => {
    write("bin/agent", "#!/bin/sh\n", 0o755);
    await expect(find(join(source, "bin"))).rejects.toMatchObject({
      code: "host.agent-missing",
      hint: expect.stringContaining("npm install -g @example/agent"),
    });
  });

  it("refuses a variable that names no program", async () => {
    await expect(find("", join(source, "none"))).rejects.toMatchObject({
      code: "host.agent-missing",
      message: expect.stringContaining("BOT_BOTTLE_AGENT"),
    });
  });
});

describe("copyHostEtc", () => {
  it("copies release and tables and nothing that names people or keys", () => {
    for (const name of ["perl", "ssh", "ssl/private"]) {
      mkdirSync(join(source, name), { recursive: true });
    }
    symlinkSync("/usr/lib/os-release", join(source, "os-release"));
    for (const name of [
      "shadow",
      "passwd",
      "hosts",
      "ssh/ssh_host_key",
      "ssl/private/key",
      "services",
    ])
      write(name);
    write("protocols", "x", 0o600);
    mkdirSync(target);
    copyHostEtc(target, source);
    expect(lstatSync(join(target, "os-release")).isFile()).toBe(existsSync("/usr/lib/os-release"));
    expect(readdirSync(target).toSorted()).toEqual(["os-release", "services"]);
  });
});

describe("mergedCaBundle", () => {
  const own = createAuthority({ commonName: "bottle", now: 1_800_000_000_000 }).certificatePem;

  it("adds ours to the host's bundle, or to Node's where there is none", async () => {
    writeFileSync(
      join(dir, "host.pem"),
      "-----BEGIN CERTIFICATE-----\nhost\n-----END CERTIFICATE-----",
    );
    const merged = await mergedCaBundle(own, [join(dir, "none.pem"), join(dir, "host.pem")]);
    expect(merged).toBe(`${readFileSync(join(dir, "host.pem"), "utf8")}\n${own.trimEnd()}\n`);
    const fallback = await mergedCaBundle(own, []);
    expect(fallback.endsWith(own.trimEnd().concat("\n"))).toBe(true);
    expect(fallback.split("-----BEGIN CERTIFICATE-----").length).toBeGreaterThan(50);
  });
});
