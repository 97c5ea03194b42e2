import { describe, expect, it } from "vitest";
import type { Command } from "./command.ts";
import { createOutput } from "./output.ts";
import { parseArgs } from "./parse-args.ts";

const command: Command = {
  name: "try",
  summary: "try it",
  acceptsRest: true,
  args: [
    { name: "agent", summary: "which", choices: ["claude", "codex"] },
    { name: "more", summary: "others", isOptional: true, isVariadic: true },
  ],
  flags: [
    { name: "dry-run", summary: "a switch" },
    { name: "prompt", short: "p", value: "text", summary: "a text" },
    { name: "bottle", value: "name", isRepeatable: true, summary: "a list" },
    { name: "part", value: "part", choices: ["agent", "owner"], summary: "one of some" },
  ],
  examples: [{ command: "bot-bottle try claude", explanation: "the usual way" }],
  run: () => Promise.resolve(0),
};
const parse = (...argv: string[]) => parseArgs(command, argv, createOutput(false));
const args = (...argv: string[]) => {
  const parsed = parse(...argv);
  if (parsed.kind !== "args") throw new Error("help was not asked for");
  return parsed.args;
};

describe("parseArgs", () => {
  it("gives flags by name, arguments in order and the rest untouched", () => {
    const parsed = args(
      ...["claude", "--dry-run", "-p", "do it", "x", "y", "--bottle", "a", "--bottle", "b"],
      ...["--", "sh", "--dry-run", "--", "-x"],
    );
    expect(parsed.args).toEqual(["claude", "x", "y"]);
    expect(parsed.flags).toEqual({
      "dry-run": true,
      prompt: "do it",
      bottle: ["a", "b"],
      part: undefined,
    });
    expect(parsed.rest).toEqual(["sh", "--dry-run", "--", "-x"]);
  });

  it("tells no rest from an empty one", () => {
    expect(args("claude").rest).toBeUndefined();
    expect(args("claude", "--").rest).toEqual([]);
  });

  it("takes a value that looks like a flag", () => {
    expect(args("claude", "--prompt", "-x").flags["prompt"]).toBe("-x");
    expect(args("claude", "--prompt=--bottle").flags["prompt"]).toBe("--bottle");
  });

  it.each([
    [["claude", "--bottel", "x"], "unknown option '--bottel'; did you mean --bottle"],
    [["claude", "--prompt"], "--prompt has no value; <text> is expected"],
    [["claude", "--part", "guest"], '--part "guest" is unknown; one of agent, owner is expected'],
    [["clade"], "one of claude, codex is expected; did you mean claude"],
    [[], "try needs an argument: <agent>, one of claude, codex"],
  ])("refuses %j as a usage error with the way to the help", (argv, message) => {
    const fault = expect.objectContaining({
      code: "usage.invalid",
      hint: expect.stringMatching(/bot-bottle try --help$/),
      message: expect.stringContaining(message),
    });
    expect(() => parse(...argv)).toThrow(fault);
  });

  it("refuses a rest where none is taken, and arguments where there are enough", () => {
    const plain: Command = { ...command, args: [], acceptsRest: false };
    expect(() => parseArgs(plain, ["--", "ls"], createOutput(false))).toThrow('nothing after "--"');
    expect(() => parseArgs(plain, ["ls"], createOutput(false))).toThrow("too many arguments");
  });

  it("shows help with examples for --help anywhere before the rest", () => {
    const help = parse("claude", "--help");
    expect(help.kind === "help" && help.text).toContain(
      "bot-bottle try claude\n      the usual way",
    );
    expect(parse("-h").kind).toBe("help");
    expect(args("claude", "--", "--help").rest).toEqual(["--help"]);
  });
});
