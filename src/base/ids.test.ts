import { describe, expect, it } from "vitest";
import { MAX_SLUG_LENGTH, parseBottleId, parseGuestPath, parseHostPath, slugify } from "./ids.ts";

describe("parseBottleId", () => {
  it.for(["a", "agent-x7f3k", "0", "a--b", "a".repeat(MAX_SLUG_LENGTH)])("takes %s", (text) => {
    expect(parseBottleId(text)).toBe(text);
  });

  it.for([
    "",
    "-",
    "-a",
    "a-",
    "A",
    "a b",
    "a/b",
    "..",
    "a\n",
    "ä",
    "a".repeat(MAX_SLUG_LENGTH + 1),
  ])("refuses %j", (text) => {
    expect(() => parseBottleId(text)).toThrow("is not a bottle name");
  });

  it("does not repeat an endless name", () => {
    expect(() => parseBottleId("x".repeat(100_000))).toThrow(/^.{1,200}$/);
  });
});

describe("slugify", () => {
  it.for([
    ["My Agent!", "my-agent"],
    ["  --x--  ", "x"],
    ["Élan vital", "elan-vital"],
    ["ℌello", "hello"],
    ["../../etc", "etc"],
    ["", "bottle"],
    ["日本", "bottle"],
  ] as const)("turns %j into %s", ([text, slug]) => {
    expect(slugify(text)).toBe(slug);
  });

  it("always gives a bottle name", () => {
    for (const text of ["a".repeat(63) + " b", "-".repeat(500), "x".repeat(1000), "\0\n"]) {
      expect(parseBottleId(slugify(text))).toBe(slugify(text));
      expect(slugify(text).length).toBeLessThanOrEqual(64);
    }
  });
});

describe("paths", () => {
  it("take absolute paths only", () => {
    expect(parseHostPath("/a/../b")).toBe("/a/../b");
    expect(parseGuestPath("/a/..b")).toBe("/a/..b");
    for (const text of ["", "a", "./a", "~/a", "/a\0"]) {
      expect(() => parseHostPath(text)).toThrow("is not an absolute path");
      expect(() => parseGuestPath(text)).toThrow("is not an absolute guest path");
    }
    for (const text of ["/..", "/a/../b", "/a/.."]) {
      expect(() => parseGuestPath(text)).toThrow("is not an absolute guest path");
    }
  });
});
