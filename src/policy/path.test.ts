// One normal form for request targets; what servers read differently is refused.
import { describe, expect, it } from "vitest";
import { formatTarget, matchesPath, normalisePath } from "./path.ts";

const normal = (raw: string): string => {
  const result = normalisePath(raw);
  return result.ok ? formatTarget(result.path, result.query) : "refused";
};

describe("normalisePath", () => {
  it.each([
    ["/", "/"],
    ["/v1/messages", "/v1/messages"],
    ["/a/", "/a/"],
    ["/a?x=1&y=%2F", "/a?x=1&y=%2F"],
    ["/a?", "/a"],
    ["/%41%7e%2d", "/A~-"],
    ["/a%20b", "/a%20b"],
    ["/a%3fb", "/a%3Fb"],
    ["/%c3%a9", "/%C3%A9"],
    ["/a|b{c}", "/a%7Cb%7Bc%7D"],
    ["/a;v=1", "/a;v=1"],
    ["/100%25", "/100%25"],
    ["/.well-known/x", "/.well-known/x"],
    ["/..a/...", "/..a/..."],
    ["/@scope%2fx".replace("%2f", "."), "/@scope.x"],
  ])("%j becomes %j", (raw, expected) => {
    expect(normal(raw)).toBe(expected);
  });

  it.each([
    "",
    "*",
    "a",
    "http://example.com/",
    "/..",
    "/.",
    "/a/../b",
    "/a/./b",
    "/a/%2e%2e/b",
    "/a/.%2E/b",
    "/a/..;x/b",
    "/a/..%3bx/b",
    "/a/%2e;/b",
    "//a",
    "/a//b",
    "/a%2fb",
    "/a%2Fb",
    "/a%5cb",
    "/a\\b",
    "/a%00",
    "/a%0d%0aX:y",
    "/a%7f",
    "/%252e%252e/",
    "/a%252fb",
    "/a%25%32%66b",
    "/a%",
    "/a%2",
    "/a%zz",
    "/a b",
    "/a\tb",
    "/a\r\nX: y",
    "/a\0b",
    "/é",
    "/a#b",
    "/a?b#c",
    "/a?b c",
    "/%c0%ae%c0%ae/",
    "/%c0%af",
    "/%ff",
    "/%ed%a0%80",
    "/a%ef%bc%8fb",
    "/%ef%bc%8e%ef%bc%8e/b",
    "/%e2%80%a5/b",
    `/${"a".repeat(20_000)}`,
  ])("refuses %j", (raw) => {
    expect(normal(raw)).toBe("refused");
  });
});

describe("matchesPath", () => {
  it.each([
    ["exact", "/v1", "/v1", true],
    ["exact", "/v1", "/v1/", false],
    ["exact", "/v1", "/v1/x", false],
    ["prefix", "/v1", "/v1", true],
    ["prefix", "/v1", "/v1/", true],
    ["prefix", "/v1", "/v1/x/y", true],
    ["prefix", "/v1/", "/v1/x", true],
    ["prefix", "/v1/", "/v1", true],
    ["prefix", "/v1", "/v10", false],
    ["prefix", "/v1", "/v1;x/y", false],
    ["prefix", "/v1", "/V1", false],
    ["prefix", "/", "/anything", true],
  ] as const)("%s %s on %s: %s", (kind, value, path, expected) => {
    expect(matchesPath({ kind, value }, path)).toBe(expected);
  });
});
