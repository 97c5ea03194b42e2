import { describe, expect, it } from "vitest";
import { renderEnv } from "./machine.ts";

describe("a file of variables", () => {
  it("keeps every value as it is", () => {
    expect(renderEnv({ A: 'it\'s\n$HOME `x` "q"', B_2: "" })).toBe(
      `A='it'\\''s\n$HOME \`x\` "q"'\nB_2=''\n`,
    );
  });

  it("has no name that a shell would run", () => {
    for (const name of ["", "1A", "A B", "A;reboot", "A\nB", "A-B"])
      expect(() => renderEnv({ [name]: "x" }), name).toThrow(/cannot be a variable/);
  });
});
