import { describe, expect, it } from "vitest";
import { nextStep } from "./prompt-script.ts";

describe("nextStep", () => {
  const prompt = "Please:\n  RUN: make\nRUN: make test\nSAY: all green";

  it("runs one line after the other, then says the last word with the outputs", () => {
    expect(nextStep(prompt, [])).toEqual({ kind: "run", command: "make", index: 0 });
    expect(nextStep(prompt, ["a"])).toEqual({ kind: "run", command: "make test", index: 1 });
    expect(nextStep(prompt, ["a", "b"])).toEqual({
      kind: "say",
      text: "all green\ntool output: a\ntool output: b",
    });
  });

  it("answers at once without a script", () => {
    expect(nextStep("hello, RUN: is no line of its own", [])).toEqual({
      kind: "say",
      text: "done",
    });
  });
});
