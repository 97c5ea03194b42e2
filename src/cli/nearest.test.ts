import { describe, expect, it } from "vitest";
import { nearest } from "./nearest.ts";

describe("nearest", () => {
  it.each([
    ["strat", "start"],
    ["stat", "start"],
    ["lst", "list"],
    ["clean", "cleanup"],
    ["cleanp", "cleanup"],
    ["xyzzy", undefined],
    ["", undefined],
  ])("of %j is %j", (name, expected) => {
    expect(nearest(name, ["start", "list", "cleanup"])).toBe(expected);
  });

  it("bounds what it compares", () => {
    expect(nearest("s".repeat(1_000_000), ["start"])).toBeUndefined();
  });
});
