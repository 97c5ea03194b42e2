import { describe, expect, it } from "vitest";
import { parseGuestPath } from "../base/ids.ts";
import { command } from "./command.ts";
import type { ProviderInput } from "./provider.ts";

function input(settings: Readonly<Record<string, unknown>>, hasPrompt = false): ProviderInput {
  return {
    guestHome: parseGuestPath("/home/node"),
    workdir: parseGuestPath("/home/node/workspace"),
    hasPrompt,
    promptPath: parseGuestPath("/home/node/.bot-bottle-prompt.txt"),
    promptText: "",
    placeholder: undefined,
    authKind: "bearer",
    settings,
    label: undefined,
    caBundlePath: parseGuestPath("/etc/ssl/certs/ca-certificates.crt"),
  };
}

describe("command", () => {
  it("runs its argv as it is, and takes no prompt then", () => {
    const plan = command.describe(input({ argv: ["sh", "-c", "make test"] }));
    expect(plan.interactiveArgv).toEqual(["sh", "-c", "make test"]);
    expect(plan.headlessArgv("do it")).toBeUndefined();
    expect(plan.routes).toEqual([]);
  });

  it("appends the prompt only where the settings say so", () => {
    const plan = command.describe(input({ argv: ["agent"], prompt_argument: true }));
    expect(plan.headlessArgv("do it")).toEqual(["agent", "do it"]);
    expect(plan.headlessArgv("")).toEqual(["agent"]);
  });

  it("names the system prompt's file when there is one", () => {
    expect(command.describe(input({ argv: ["a"] })).env).toEqual({});
    expect(command.describe(input({ argv: ["a"] }, true)).env).toEqual({
      BOT_BOTTLE_PROMPT_FILE: "/home/node/.bot-bottle-prompt.txt",
    });
  });

  it.each([
    [{}, "argv is missing"],
    [{ argv: "make test" }, "argv is not an argv"],
    [{ argv: [] }, "argv is not an argv"],
    [{ argv: ["", "x"] }, "argv is not an argv"],
    [{ argv: ["a", 1] }, "argv is not an argv"],
    [{ argv: ["a\0b"] }, "argv is not an argv"],
    [{ argv: ["a"], shell: true }, '"shell" is not a setting'],
    [{ argv: ["a"], prompt_argument: "yes" }, "prompt_argument is not true or false"],
  ])("refuses settings %j", (settings, message) => {
    expect(() => command.describe(input(settings))).toThrow(message);
  });
});
