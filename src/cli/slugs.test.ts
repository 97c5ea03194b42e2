import { describe, expect, it } from "vitest";
import { matchSlug } from "./slugs.ts";

const NAMES = ["claude-a1b2c", "claude-zzzzz", "codex", "codex-2"];

describe("matchSlug", () => {
  it.each([
    ["claude-a1b2c", "claude-a1b2c"],
    ["claude-a", "claude-a1b2c"],
    ["codex", "codex"],
    ["codex-", "codex-2"],
  ])("%j means %j", (text, expected) => {
    expect(matchSlug(text, NAMES)).toBe(expected);
  });

  it.each([
    ["claude", "claude-zzzzz", ["claude-zzzzz"]],
    ["codex", "codex", ["codex-2"]],
    ["claude-a", "claude-a1b2c", ["codex-2"]],
  ])("%j means %j where %j are preferred", (text, expected, preferred) => {
    expect(matchSlug(text, NAMES, preferred)).toBe(expected);
  });

  it("says which ones a beginning fits", () => {
    const fault = expect.objectContaining({
      code: "usage.ambiguous-bottle",
      message: expect.stringContaining("claude-a1b2c, claude-zzzzz"),
    });
    expect(() => matchSlug("claude", NAMES)).toThrow(fault);
  });

  it.each([
    ["claude-a1b2d", "did you mean claude-a1b2c"],
    ["", 'no bottle is called ""'],
    ["*", 'no bottle is called "*"'],
  ])("refuses %j with the nearest name", (text, message) => {
    const fault = expect.objectContaining({
      code: "usage.unknown-bottle",
      message: expect.stringContaining(message),
    });
    expect(() => matchSlug(text, NAMES)).toThrow(fault);
  });
});
