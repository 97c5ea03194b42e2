// What a user gets for each thing that can be wrong: one error that names it and says what to do, the promised exit status, and
// nothing left behind.
import { execFileSync, spawn } from "node:child_process";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { userInfo } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { CLI, ended, runCli } from "../support/built-cli.ts";
import { CliHome, failureOf } from "../support/cli-home.ts";
import { requires } from "../support/requires.ts";

const ORDINARY_UID = 65_534;
const COMMAND = "agent_provider: { template: command, settings: { argv: [/bin/true] } }";
const START = ["start", "worker", "--headless"];

let home: CliHome;
beforeEach(() => {
  home = new CliHome();
});
afterEach(async () => {
  await home.expectNothingLeft();
  await home[Symbol.asyncDispose]();
});

/** Runs, and checks the frame that every failure has. */
async function fails(
  argv: readonly string[],
  status: number,
  more: Parameters<CliHome["run"]>[1] = {},
): Promise<ReturnType<typeof failureOf>> {
  const end = await home.run(argv, more);
  expect([end.code, end.stderr]).toEqual([status, expect.any(String)]);
  expect(end.stdout.toString()).toBe("");
  expect(end.stderr.match(/^error \[/gm)).toHaveLength(1);
  expect(end.stderr).not.toMatch(/\n {4}at |BugError|\x1b/);
  return failureOf(end);
}

describe("the command line", () => {
  it.each([
    ["a wrong flag", [...START, "--headles"], 125, "usage.invalid", /--headles.*--headless/],
    ["a wrong flag of another command", ["list", "--jsn"], 64, "usage.invalid", /--jsn.*--json/],
    ["a wrong command", ["strat"], 64, "usage.unknown-command", /strat.*start/],
    ["a missing argument", ["start"], 125, "usage.invalid", /agent/],
    ["too many arguments", ["stop", "a", "--nothing"], 64, "usage.invalid", /--nothing/],
    [
      "a value that is no choice",
      [...START, "--backend", "bubble"],
      125,
      "usage.invalid",
      /bubblewrap/,
    ],
    ["a flag without its value", [...START, "--label"], 125, "usage.invalid", /--label/],
    ["nothing behind --", [...START, "--"], 125, "usage.invalid", /--/],
    ["no terminal", ["start", "worker"], 125, "usage.not-a-terminal", /terminal/],
    [
      "a host that is none",
      [...START, "--allow", "http://x.test/"],
      125,
      "usage.invalid",
      /--allow/,
    ],
    [
      "an unknown agent",
      ["start", "workr", "--headless"],
      125,
      "manifest.unknown-agent",
      /workr.*worker/,
    ],
    [
      "an unknown bottle file",
      [...START, "--bottle", "bax"],
      125,
      "manifest.unknown-bottle",
      /bax.*box/,
    ],
    [
      "a bottle that does not run",
      ["exec", "worker-00000", "--", "ls"],
      125,
      "usage.unknown-bottle",
      /worker-00000/,
    ],
    [
      "a bottle that does not run, to be stopped",
      ["stop", "worker-00000"],
      64,
      "usage.unknown-bottle",
      /worker-00000/,
    ],
    [
      "an events file that cannot be",
      [...START, "--events", "/nowhere/at/all"],
      125,
      "usage.path",
      /ENOENT/,
    ],
  ])("is told about %s", async (_name, argv, status, code, message) => {
    const failure = await fails(argv, status);
    expect(failure).toEqual({
      code,
      message: expect.stringMatching(message),
      hint: expect.any(String),
    });
  });

  it("gets the same as JSON", async () => {
    const end = await home.run(["info", "nobody", "--json"]);
    const text = end.stdout.toString() + end.stderr;
    expect(JSON.parse(text.trim().split("\n").at(-1) ?? "")).toMatchObject({
      error: { code: expect.stringMatching(/unknown/) },
    });
    expect(end.code).toBeGreaterThan(0);
  });
});

describe("manifest files", () => {
  it.each([
    ["broken YAML", "env: { A: [b }", /bottles\/box\.md:3:\d+: /],
    [
      "an unknown key",
      "egres:\n  routes: []",
      /bottles\/box\.md:3:1: egres is not a key; did you mean egress/,
    ],
    [
      "an unknown key deep inside",
      "egress:\n  routes:\n    - host: a.test\n      atuh: {}",
      /bottles\/box\.md:6:7: .*atuh is not a key; did you mean .*auth/,
    ],
    ["a wrong type", "env: 5", /bottles\/box\.md:3:6: /],
    [
      "a wildcard for every host",
      "egress: { routes: [{ host: '*' }] }",
      /bottles\/box\.md:3:\d+: .*every host/,
    ],
    [
      "a mount over the system",
      "mounts: [{ host: /tmp, guest: /etc/x }]",
      /bottles\/box\.md:3:\d+: /,
    ],
  ])("with %s are shown with file, line and column", async (_name, text, message) => {
    home.bottle("box", `${COMMAND}\n${text}`);
    const failure = await fails(START, 125);
    expect(failure).toMatchObject({
      code: "manifest.invalid",
      message: expect.stringMatching(message),
      hint: expect.stringMatching(/edit .*box\.md:\d/),
    });
  });

  it("with several faults are told all at once", async () => {
    home.bottle("box", `${COMMAND}\negres: {}\nenv: 5\nlimits: { memory: lots }`);
    const { stderr } = await home.run(START);
    for (const part of ["egres", "env", "memory"]) expect(stderr).toContain(part);
  });

  it("of one name are refused", async () => {
    writeFileSync(join(home.home, "bottles", "Box.md"), `---\n${COMMAND}\n---\n`);
    writeFileSync(join(home.home, "bottles", "box.yaml"), `${COMMAND}\n`);
    const names = readdirSync(join(home.home, "bottles"));
    const end = await home.run(START);
    if (end.code === 0) return expect(names.length).toBeGreaterThan(1);
    expect(failureOf(end).code).toBe("manifest.duplicate");
  });

  it("that need a variable of the host say which", async () => {
    home.bottle("box", `${COMMAND}\nenv: { KEY: "\${NOT_SET_ANYWHERE}" }`);
    const failure = await fails(START, 125);
    expect(failure).toEqual({
      code: "manifest.missing-variable",
      message: expect.stringContaining("NOT_SET_ANYWHERE"),
      hint: expect.stringContaining("export"),
    });
  });

  it("that need several variables of the host are told all of them, where, and how to set them", async () => {
    home.bottle(
      "box",
      `${COMMAND.replace("/bin/true", "/bin/echo")}\nenv:\n  KEY: "\${NOT_SET_ONE}"\n  OTHER: "\${NOT_SET_TWO}"\negress:\n  routes:\n    - host: api.test\n      auth:\n        scheme: Bearer\n        token_ref: NOT_SET_TOKEN`,
    );
    const { stderr, code } = await home.run(START, { env: { NOT_SET_TWO: "" } });
    const file = join(home.home, "bottles", "box.md");
    expect(code).toBe(125);
    expect(stderr).toMatch(/env\.KEY needs the host variable NOT_SET_ONE, which is not set/);
    expect(stderr).toMatch(/env\.OTHER needs the host variable NOT_SET_TWO, which is empty/);
    expect(stderr).toMatch(
      /token_ref of the route api\.test needs the host variable NOT_SET_TOKEN/,
    );
    for (const line of [4, 5, 11]) expect(stderr).toContain(`${file}:${line}:`);
    expect(stderr).toMatch(
      /^hint: export (?=.*NOT_SET_ONE=)(?=.*NOT_SET_TWO=)(?=.*NOT_SET_TOKEN=).* and start again$/m,
    );
  });

  it("that ask for what this version does not enforce are refused, not weakened", async () => {
    home.bottle("box", `${COMMAND}\nlimits: { disk: 1GiB }`);
    expect(await fails(START, 125)).toMatchObject({ code: "manifest.unsupported" });
  });

  it("of a repository grant nothing without being asked for", async () => {
    mkdirSync(join(home.project, ".bot-bottle", "agents"), { recursive: true });
    mkdirSync(join(home.project, ".bot-bottle", "bottles"), { recursive: true });
    writeFileSync(
      join(home.project, ".bot-bottle", "agents", "evil.md"),
      "---\nbottle: box\n---\n",
    );
    writeFileSync(
      join(home.project, ".bot-bottle", "bottles", "box.md"),
      `---\n${COMMAND}\nenv: { EVIL: "yes" }\n---\n`,
    );
    expect(await fails(["start", "evil", "--headless"], 125)).toMatchObject({
      code: "manifest.untrusted",
    });
    const named = await home.run([
      "start",
      "evil",
      "--headless",
      "--bottle",
      "box",
      "--",
      "/usr/bin/env",
    ]);
    expect(named.code).toBe(0);
    expect(named.stdout.toString()).not.toContain("EVIL");
  });
});

describe("the machine", requires("bwrap", "userns"), () => {
  it("without bubblewrap is told how to get it", async () => {
    const tools = join(home.root, "bin");
    mkdirSync(tools);
    for (const name of ["setpriv", "prlimit", "git", "sh"])
      symlinkSync(execFileSync("which", [name], { encoding: "utf8" }).trim(), join(tools, name));
    const failure = await fails(START, 125, { env: { PATH: tools } });
    expect(failure).toEqual({
      code: "host.binary-missing",
      message: expect.stringContaining("bwrap"),
      hint: expect.stringMatching(/install/),
    });
    expect(home.names("state")).toEqual([]);
  });

  it("without the agent's program says so", async () => {
    home.bottle("box", "agent_provider: { template: claude }");
    const failure = await fails([...START, "--prompt", "x"], 125, {
      env: { PATH: "/usr/bin:/bin" },
    });
    expect(failure).toMatchObject({
      code: "host.agent-missing",
      hint: expect.stringContaining("npm install"),
    });
  });

  it("whose paths are long works through a directory elsewhere, and leaves nothing there", async () => {
    const deep = join(
      home.root,
      ...Array.from({ length: 6 }, () => "a-rather-long-name-of-a-directory"),
    );
    const runtime = join(home.root, "runtime");
    mkdirSync(runtime, { mode: 0o700 });
    mkdirSync(join(deep, ".."), { recursive: true });
    execFileSync("cp", ["-r", home.home, deep]);
    const end = await home.run(
      [...START, "--", "/bin/sh", "-c", "ls /run/bot-bottle/doors; exit 3"],
      { env: { BOT_BOTTLE_HOME: deep, TMPDIR: runtime } },
    );
    expect([end.code, end.stdout.toString(), end.stderr]).toEqual([
      3,
      "proxy.sock\n",
      expect.any(String),
    ]);
    expect(readdirSync(runtime)).toEqual([]);
    expect(existsSync(join(deep, "run")) ? readdirSync(join(deep, "run")) : []).toEqual([]);
  });

  describe("for an ordinary user", () => {
    const isRoot = userInfo().uid === 0;
    const asUser = {
      ...(isRoot ? { uid: ORDINARY_UID } : {}),
      env: { PATH: "/usr/local/bin:/usr/bin:/bin" },
    };
    beforeEach(() => {
      if (isRoot) execFileSync("chown", ["-R", String(ORDINARY_UID), home.root]);
    });

    it("refuses a home that cannot be written, and says which directory", async () => {
      chmodSync(home.home, 0o555);
      if (isRoot) chownSync(home.home, 0, 0);
      const failure = await fails(START, 125, asUser);
      expect(failure).toMatchObject({
        code: "host.unwritable",
        message: expect.stringContaining(home.home),
      });
    });

    it("names the file of a workspace that cannot be read", async () => {
      writeFileSync(join(home.project, "closed"), "x", { mode: 0o000 });
      if (isRoot) chownSync(join(home.project, "closed"), 0, 0);
      const end = await home.run([...START, "--cwd", "--", "/bin/true"], asUser);
      expect([end.code, end.stderr]).toEqual([
        expect.any(Number),
        expect.stringContaining("closed"),
      ]);
      if (end.code !== 0)
        expect([end.code, failureOf(end).code]).toEqual([125, "launch.workspace"]);
    });

    it("refuses a workspace that cannot be entered", async () => {
      const closed = join(home.project, "closed");
      mkdirSync(closed, { mode: 0o000 });
      if (isRoot) chownSync(closed, 0, 0);
      const end = await home.run([...START, "--cwd", "--", "/bin/true"], asUser);
      expect(end.stderr).toContain("closed");
      chmodSync(closed, 0o755);
    });

    it("refuses a secret file that others may read", async () => {
      const file = join(home.root, "token");
      writeFileSync(file, "a-token-that-others-read", { mode: 0o644 });
      home.bottle(
        "box",
        `${COMMAND}\negress: { routes: [{ host: a.example.com, auth: { scheme: Bearer, token_ref: { name: T, file: ${file} } } }] }`,
      );
      const failure = await fails(START, 125, asUser);
      expect(failure).toMatchObject({
        code: "manifest.secret-file",
        hint: expect.stringContaining("chmod 600"),
      });
    });

    it.each([
      "--core=0:0",
      "--nproc=1500:1500",
      "--nofile=512:512",
      "--fsize=50000000:50000000",
      "--memlock=0:0",
    ])("works under a hard limit of its own: %s", async (limit) => {
      const { uid } = asUser as { uid?: number };
      const child = spawn(
        "prlimit",
        [limit, process.execPath, CLI, ...START, "--", "/bin/sh", "-c", "exit 5"],
        {
          cwd: home.project,
          env: { ...asUser.env, HOME: home.root, BOT_BOTTLE_HOME: home.home },
          ...(uid === undefined ? {} : { uid, gid: uid }),
        },
      );
      child.stdin.end();
      expect(await ended(child)).toMatchObject({ code: 5 });
    });

    it("needs no right of root", async () => {
      const { code, stderr } = await home.run([...START, "--", "/bin/sh", "-c", "exit 5"], asUser);
      expect([code, stderr]).toEqual([5, expect.any(String)]);
    });
  });

  describe("with a full disk", requires("root"), () => {
    it.each([
      ["at once", "64k"],
      ["on the way", "1m"],
    ])("fails %s with one error and leaves nothing", async (_name, size) => {
      const small = join(home.root, "small");
      mkdirSync(small);
      execFileSync("mount", ["-t", "tmpfs", "-o", `size=${size},mode=755`, "tmpfs", small]);
      try {
        execFileSync("cp", ["-r", `${home.home}/.`, small]);
        writeFileSync(join(home.project, "big"), Buffer.alloc(4 << 20, "x"));
        const end = await runCli(
          [...START, "--cwd", "--", "/bin/true"],
          home.options({ env: { BOT_BOTTLE_HOME: small } }),
        );
        expect([end.code, end.stderr]).toEqual([
          125,
          expect.stringMatching(/^error \[host\.disk-full\]/m),
        ]);
        expect(failureOf(end).message).toMatch(/small/);
        for (const directory of ["state", "run", "queue"]) {
          expect(
            existsSync(join(small, directory)) ? readdirSync(join(small, directory)) : [],
          ).toEqual([]);
        }
      } finally {
        execFileSync("umount", [small]);
      }
    });
  });

  it("where something else has the state directory's name is told what", async () => {
    writeFileSync(join(home.home, "state"), "not a directory");
    const failure = await fails(START, 125);
    expect(failure).toMatchObject({
      code: "host.unwritable",
      message: expect.stringContaining(join(home.home, "state")),
    });
    expect(readFileSync(join(home.home, "state"), "utf8")).toBe("not a directory");
  });

  it("whose state directory holds strange things works all the same", async () => {
    const state = join(home.home, "state");
    mkdirSync(join(state, "odd", "metadata.json"), { recursive: true });
    mkdirSync(join(state, "noise"));
    writeFileSync(join(state, "noise", "metadata.json"), Buffer.from([0xff, 0, 0x7b, 0x22]));
    writeFileSync(join(state, "stray"), "");
    symlinkSync("/nowhere", join(state, "link"));
    for (const argv of [START, ["list", "active"], ["list", "kept"], ["cleanup", "--yes"]]) {
      expect([argv, (await home.run(argv)).code]).toEqual([argv, 0]);
    }
    expect(home.names("state")).toEqual(["link", "noise", "odd", "stray"]);
  });
});
