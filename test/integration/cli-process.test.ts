// The CLI as a process: what it loads, how it ends, and that its output is whole.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const root = join(import.meta.dirname, "../..");
const main = join(root, "src/cli/main.ts");
const program = (name: string): string => join(root, "test/fixtures/programs", name);

let home: string;
beforeAll(() => {
  home = mkdtempSync(join(tmpdir(), "bot-bottle-cli-"));
});
afterAll(() => rmSync(home, { recursive: true, force: true }));

const environment = (extra: Record<string, string> = {}): Record<string, string> => ({
  PATH: process.env["PATH"] ?? "",
  HOME: home,
  BOT_BOTTLE_HOME: join(home, "bottles"),
  ...extra,
});

function run(argv: readonly string[], env: Record<string, string> = {}) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...argv], {
    encoding: "utf8",
    env: environment(env),
    input: "",
    cwd: home,
  });
  return { status, stdout, stderr };
}

/** Runs a line of bash in which `bb` is the CLI. */
function bash(line: string) {
  const script = `bb() { "${process.execPath}" "${main}" "$@"; }\n${line}`;
  return spawnSync("bash", ["-c", script], { encoding: "utf8", env: environment(), cwd: home });
}

describe("start-up", () => {
  const loaded = (argv: readonly string[]): string[] => {
    const file = join(home, "modules.json");
    spawnSync(process.execPath, ["--import", program("list-modules.mjs"), main, ...argv], {
      env: environment({ MODULES: file }),
    });
    return JSON.parse(readFileSync(file, "utf8")) as string[];
  };
  const HEAVY =
    /node_modules|src\/(?:index|manifest|bottle|bundle|provision|providers|tls|protocol)\b/;

  it.each([["--help"], ["--version"], ["nosuch"]])(
    "%s loads no package and no room but its own",
    (arg) => {
      const modules = loaded([arg]);
      expect(modules.filter((url) => HEAVY.test(url))).toEqual([]);
      expect(modules.filter((url) => url.startsWith("file:")).length).toBeLessThan(20);
    },
  );

  it("names for completion need no schema and no manifest", () => {
    const heavy = loaded(["__complete", "agent"]).filter((url) => HEAVY.test(url));
    expect(heavy.filter((url) => !url.includes("/commander/"))).toEqual([]);
  });
});

describe("ends", () => {
  it.each([
    [["--version"], 0],
    [["help", "stop"], 0],
    [[], 0],
    [["strat"], 64],
    [["list", "--nosuch"], 64],
    [["stop"], 64],
    [["info", "nobody"], 78],
    [["start"], 125],
    [["start", "claude", "--headless", "--prompt", "x"], 125],
    [["exec", "nobody", "--", "ls"], 125],
  ])("%j with %i", (argv, status) => {
    const result = run(argv);
    expect(result.status).toBe(status);
    if (status === 0) expect(result.stderr).toBe("");
    else expect(result.stderr).toMatch(/^error \[[a-z.-]+\] .+\nhint: .+\n$/);
    if (status !== 0) expect(result.stdout).toBe("");
  });

  it("tells a machine what failed in one line", () => {
    const { status, stdout, stderr } = run(["info", "nobody", "--json"]);
    expect(JSON.parse(stdout)).toMatchObject({
      error: { code: "manifest.unknown-agent", status, by: "bot-bottle" },
    });
    expect(stderr).toBe("");
  });

  it("says how to get the first agent", () => {
    const { stderr } = run(["start", "codex", "--headless", "--prompt", "x"]);
    expect(stderr).toContain("hint: write a first one: bot-bottle init codex --yes");
  });

  it("is quiet when the reader of its output leaves", () => {
    const { stdout, stderr } = bash("bb schema | head -c 1 >&2; echo ${PIPESTATUS[0]}");
    expect(stdout).toBe("0\n");
    expect(stderr).toBe("{");
  });

  it("writes all of its output to a slow reader", () => {
    const whole = run(["schema"]).stdout;
    const { stdout } = bash("bb schema | { read -r first; printf '%s\\n' \"$first\"; cat; }");
    expect(stdout).toBe(whole);
  });
});

describe("what nobody caught", () => {
  /** A command that waits for an answer. */
  async function waiting(how: string): Promise<ChildProcess> {
    mkdirSync(join(home, "bottles/run/deadbeef"), { recursive: true });
    const child = spawn(
      process.execPath,
      ["--import", program("throw-on-signal.mjs"), main, "cleanup"],
      {
        env: environment({ THROW: how }),
        stdio: ["pipe", "ignore", "pipe"],
      },
    );
    await new Promise<void>((resolve) => {
      child.stderr?.on("data", (chunk: Buffer) => chunk.includes("[y/N]") && resolve());
    });
    return child;
  }

  it.each(["exception", "rejection"])("goes through the funnel: %s", async (how) => {
    const child = await waiting(how);
    let said = "";
    child.stderr?.on("data", (chunk: Buffer) => (said += chunk.toString()));
    child.kill("SIGUSR2");
    const status = await new Promise((resolve) => child.once("close", resolve));
    expect(status).toBe(70);
    expect(said).toContain("error [bug.invariant] nobody caught this");
  });

  it("is not what a signal is", async () => {
    const child = await waiting("exception");
    child.kill("SIGTERM");
    expect(await new Promise((resolve) => child.once("close", resolve))).toBe(143);
  });
});

describe("completion in bash", () => {
  const complete = (...words: string[]): string[] => {
    const list = words.map((word) => `'${word}'`).join(" ");
    const { stdout, stderr } = bash(`
      bot-bottle() { bb "$@"; }
      source <(bb completion bash)
      COMP_WORDS=(${list}); COMP_CWORD=${words.length - 1}; _bot_bottle; printf '%s\\n' "\${COMPREPLY[@]}"`);
    expect(stderr).toBe("");
    return stdout.trim().split("\n");
  };

  it("knows commands, flags, choices and names", () => {
    mkdirSync(join(home, "bottles/agents"), { recursive: true });
    writeFileSync(join(home, "bottles/agents/reviewer.md"), "broken");
    mkdirSync(join(home, "bottles/state/reviewer-x1y2z"), { recursive: true });
    mkdirSync(join(home, "bottles/state/.new-x.1.2"), { recursive: true });
    expect(complete("bot-bottle", "st")).toEqual(["start", "stop"]);
    expect(complete("bot-bottle", "start", "r")).toEqual(["reviewer"]);
    expect(complete("bot-bottle", "he")).toEqual(["help"]);
    expect(complete("bot-bottle", "help", "sto")).toEqual(["stop"]);
    expect(complete("bot-bottle", "stop", "")).toEqual(["reviewer-x1y2z"]);
    expect(complete("bot-bottle", "logs", "--part", "o")).toEqual(["owner"]);
    expect(complete("bot-bottle", "start", "--prompt", "x", "--bo")).toEqual(["--bottle"]);
    expect(complete("bot-bottle", "exec", "x", "--", "")).toEqual([""]);
  });
});
