// One normal form for request targets; what servers read differently is refused.
import { describe, expect, it } from "vitest";
import { matchesPath, matchesSlashedPath } from "./match-path.ts";
import { formatTarget, normalisePath, readingsOf } from "./path.ts";

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
    ["/@scope%2fname", "/@scope%2Fname"],
    ["/@scope%2Fname/-/name-1.0.0.tgz?x=%2f", "/@scope%2Fname/-/name-1.0.0.tgz?x=%2f"],
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
    "/a%2f..%2fb",
    "/a%2f.",
    "/a%2f;/..;x%2fb",
    "/%2fa",
    "/a%2f%2fb",
    "/a/%2fb",
    "/..%2f",
    "/%2e%2e%2fb",
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
    ["glob", "/files/*.txt", "/files/a.txt", true],
    ["glob", "/files/*.txt", "/files/a/b.txt", false],
    ["glob", "/files/*.txt", "/files/.txt", true],
    ["glob", "/files/*.txt", "/files/a_txt", false],
    ["glob", "/a/**", "/a/b/c", true],
    ["glob", "/a/**", "/a/", true],
    ["glob", "/a/**", "/a", false],
    ["glob", "/a/**", "/ab/c", false],
    ["glob", "/**/x", "/x", true],
    ["glob", "/**/x", "/a/b/x", true],
    ["glob", "/**/x", "/a/bx", false],
    ["glob", "/v?/x", "/v1/x", true],
    ["glob", "/v?/x", "/v%20/x", true],
    ["glob", "/v?/x", "/v/x", false],
    ["regex", "/v[0-9]+/.*", "/v12/x/y", true],
    ["regex", "/v[0-9]+", "/v1/x", false],
    ["regex", "v1", "/v1", false],
    ["regex", "/a|/b", "/a/x", false],
    ["regex", "/(?:a|b){2}", "/ab", true],
    ["regex", "/a$", "/a", true],
    ["regex", "^/a", "/ab", false],
  ] as const)("%s %s on %s: %s", (kind, value, path, expected) => {
    expect(matchesPath({ kind, value }, path)).toBe(expected);
  });

  it("reads an escaped slash of the path and of the rule as a slash", () => {
    expect(readingsOf("/a")).toEqual(["/a"]);
    expect(readingsOf("/@s%2Fn")).toEqual(["/@s%2Fn", "/@s/n"]);
    expect(matchesSlashedPath({ kind: "exact", value: "/@s%2Fn" }, "/@s/n")).toBe(true);
    expect(matchesSlashedPath({ kind: "prefix", value: "/@s" }, "/@s/n")).toBe(true);
    expect(matchesSlashedPath({ kind: "glob", value: "/@s%2F*" }, "/@s/n/m")).toBe(false);
  });
});
