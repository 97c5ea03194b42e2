// What an operator is told of everything that a plan still needs.
import { describe, expect, it } from "vitest";
import { ManifestError, UsageError } from "../base/errors.ts";
import { missingVariables, requireInputs } from "./missing-inputs.ts";
import type { SecretPlan } from "./plan.ts";

const variable = (name: string, line: number): SecretPlan => ({
  slot: `ENV_${name}`,
  source: { kind: "env", name },
  guestVariable: name,
  namedAt: [{ name, path: `env.${name}`, file: "/b/box.md", line, column: 3 }],
});
const question = (name: string): SecretPlan => ({
  slot: `ENV_${name}`,
  source: { kind: "prompt", name, message: "?" },
  guestVariable: name,
});

function thrownBy(work: () => void): unknown {
  try {
    work();
  } catch (error) {
    return error;
  }
  return undefined;
}

describe("what a plan still needs", () => {
  it("is nothing when every variable has a value", () => {
    const env = { A: "value" };
    expect(missingVariables([variable("A", 4)], env)).toEqual([]);
    expect(thrownBy(() => requireInputs([variable("A", 4)], { env, prompt: undefined }))).toBe(
      undefined,
    );
  });

  it("is told for all variables at once, with the places and one command", () => {
    const plans = [variable("A", 4), variable("B", 5), variable("C", 6)];
    const error = thrownBy(() => requireInputs(plans, { env: { B: "", C: "x" }, prompt: 1 }));
    expect(error).toBeInstanceOf(ManifestError);
    expect(error).toMatchObject({
      code: "manifest.missing-variable",
      hint: "export A=… B=… and start again",
      issues: [
        { file: "/b/box.md", line: 4, message: expect.stringContaining("A, which is not set") },
        { file: "/b/box.md", line: 5, message: expect.stringContaining("B, which is empty") },
      ],
    });
  });

  it("is told for all questions at once where nobody can be asked", () => {
    const error = thrownBy(() =>
      requireInputs([question("A"), question("B")], { env: {}, prompt: undefined }),
    );
    expect(error).toBeInstanceOf(UsageError);
    expect(error).toMatchObject({
      code: "usage.not-a-terminal",
      message: expect.stringContaining("A, B"),
    });
    expect(thrownBy(() => requireInputs([question("A")], { env: {}, prompt: 1 }))).toBe(undefined);
  });
});
