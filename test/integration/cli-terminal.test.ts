// Questions on a real terminal: answers, signals, and the state in which the terminal is left.
import { spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { requires } from "../support/requires.ts";

const root = join(import.meta.dirname, "../..");
const driver = join(root, "test/fixtures/programs/on-terminal.py");
const main = join(root, "src/cli/main.ts");

let home: string;
const ours = (...parts: string[]): string => join(home, "bottles", ...parts);
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "bot-bottle-terminal-"));
  mkdirSync(ours("bottles"), { recursive: true });
  mkdirSync(ours("agents"));
  const provider = "agent_provider: { template: command, settings: { argv: [sh] } }";
  writeFileSync(ours("bottles/asks.md"), `---\n${provider}\nenv: { TOKEN: "?what token" }\n---\n`);
  writeFileSync(ours("agents/asks.md"), "---\nbottle: asks\n---\n");
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

type Play = readonly (readonly [wait: string, act: string])[];

function onTerminal(argv: readonly string[], play: Play, cwd = home) {
  const { stdout, stderr } = spawnSync("python3", [driver, process.execPath, main, ...argv], {
    encoding: "utf8",
    cwd,
    env: {
      PATH: process.env["PATH"] ?? "",
      HOME: home,
      BOT_BOTTLE_HOME: ours(),
      TERM: "xterm",
      NO_COLOR: "1",
      PLAY: JSON.stringify(play),
    },
  });
  expect(stderr).toBe("");
  return JSON.parse(stdout) as { status: number; output: string; restored: boolean };
}

describe("a question on the terminal", requires("python3"), () => {
  it("that gets Ctrl-C ends with 130", () => {
    const play: Play = [["[y/N]", "\u0003"]];
    expect(onTerminal(["start", "codex"], play)).toMatchObject({ status: 130, restored: true });
    expect(readdirSync(ours("agents"))).toEqual(["asks.md"]);
  });

  it("for a secret shows nothing, and gives the terminal back on Ctrl-C and on SIGTERM", () => {
    const typed = onTerminal(
      ["start", "asks"],
      [
        ["what token: ", "s3cretValue"],
        ["", "\u0003"],
      ],
    );
    expect(typed).toMatchObject({ status: 130, restored: true });
    expect(typed.output).not.toContain("s3cret");
    const stopped = onTerminal(["start", "asks"], [["what token: ", "SIGTERM"]]);
    expect(stopped).toMatchObject({ status: 143, restored: true });
  });

  it("offers the first agent, and writes it on yes", () => {
    const { status, output } = onTerminal(
      ["start", "claude", "--label", "x"],
      [["Write a first one? [y/N]", "yes\r"]],
    );
    expect(output).toContain("wrote ");
    expect(existsSync(ours("agents/claude.md"))).toBe(true);
    // What follows needs Claude Code, or its token: neither is here.
    expect(status).toBe(125);
  });

  it("of init takes the name of the variable", () => {
    const play: Play = [
      ["[OPENAI_API_KEY]: ", "MY_KEY\r"],
      ["[y/N]", "y\r"],
    ];
    const { status, output } = onTerminal(["init", "codex"], play);
    expect(status).toBe(0);
    expect(output).toContain("export MY_KEY=");
    expect(readFileSync(ours("bottles/codex.md"), "utf8")).toContain("auth_token: MY_KEY");
  });

  it("about a repository's agent is not answered by --yes, and asked once", () => {
    const repository = join(home, "clone");
    mkdirSync(join(repository, ".bot-bottle/agents"), { recursive: true });
    writeFileSync(join(repository, ".bot-bottle/agents/theirs.md"), "---\nbottle: asks\n---\n");
    const argv = ["start", "theirs", "--yes", "--dry-run"];
    const no = onTerminal(argv, [["let it? [y/N]", "n\r"]], repository);
    expect(no).toMatchObject({
      status: 125,
      output: expect.stringContaining("manifest.untrusted"),
    });
    expect(onTerminal(argv, [["let it? [y/N]", "y\r"]], repository).status).toBe(0);
    const again = onTerminal(argv, [], repository);
    expect(again.status).toBe(0);
    expect(again.output).not.toContain("[y/N]");
  });
});
