// The dialect of rules' patterns: what is refused, and that no text makes a match slow.
import { describe, expect, it } from "vitest";
import { compilePattern } from "./compile.ts";

const matches = (kind: "regex" | "glob", pattern: string, text: string): boolean | string => {
  const compiled = compilePattern(kind, pattern);
  return compiled.ok ? compiled.matches(text) : compiled.reason;
};

it.each([
  ["a|b", "b", true],
  ["a|b", "ab", false],
  ["", "", "is empty"],
  ["(?:a|b)+", "abab", true],
  ["(?:a|b)+", "", false],
  ["(a*)*b", "aaab", true],
  ["(|a)+", "aa", true],
  ["a{2,3}", "aaaa", false],
  ["a{2,}", "aaaa", true],
  ["a{0}b", "b", true],
  ["a+?", "aaa", true],
  ["[a-c-]", "-", true],
  ["[^a-c]", "d", true],
  ["[^a-c]", "\u20ac", false],
  ["[\\]\\-]", "]", true],
  ["[\\d_]+", "1_2", true],
  ["\\w+\\.\\w+", "a.b", true],
  ["\\/\\x41", "/A", true],
  ["^a$", "a", true],
  ["a^b", "ab", false],
  ["(^a|b)c", "ac", true],
  ["x(^a|b)c", "xac", false],
  ["a($|b)", "a", true],
  ["(?<name>a)", "a", true],
  [".", "\n", false],
] as const)("%s on %j: %s", (pattern, text, expected) => {
  expect(matches("regex", pattern, text)).toBe(expected);
});

it.each([
  "(?=a)b",
  "(?!a)b",
  "(?<=a)b",
  "(?<!a)b",
  "(?i)a",
  "(a)\\1",
  "(?<n>a)\\k<n>",
  "\\bword",
  "\\p{L}",
  "\\u0041",
  "\\q",
  "a**",
  "a{1}{2}",
  "a{2,1}",
  "a{1001}",
  "a{x}",
  "*a",
  "^*",
  "(",
  ")",
  "(a",
  "[a",
  "[z-a]",
  "[\\d-z]",
  "[[:alpha:]]",
  "[a&&b]",
  "a]",
  "a}",
  "\\",
  "caf\u00e9",
  "a\n",
  "a".repeat(1001),
  "(".repeat(60) + "a" + ")".repeat(60),
  "(a{100}){100}",
  "((a{999}){999}){999}",
])("refuses %s", (pattern) => {
  expect(matches("regex", pattern, "a")).toBeTypeOf("string");
});

it.each(["a", "/[a]", "/{a,b}", "/a\\*", "/a**", "/**a/b"])("refuses the glob %s", (pattern) => {
  expect(matches("glob", pattern, "/a")).toBeTypeOf("string");
});

describe("time", () => {
  it.each([
    ["(a+)+b", "a".repeat(16_000)],
    ["(a|aa)*c", "a".repeat(16_000)],
    ["(.*)(.*)(.*)(.*)(.*)x", "y".repeat(16_000)],
    [".*a.{200}c", "ab".repeat(8000)],
  ])("%s does not grow with what could be tried", (pattern, text) => {
    const compiled = compilePattern("regex", pattern);
    expect(compiled.ok).toBe(true);
    const started = performance.now();
    expect(compiled.ok && compiled.matches(`${text}!`)).toBe(false);
    expect(performance.now() - started).toBeLessThan(1500);
  });
});
