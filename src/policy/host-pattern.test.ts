// Wildcards stand for one label and are refused where strangers could own what they allow.
import { expect, it } from "vitest";
import { matchesHost, refuseHostPattern } from "./host-pattern.ts";

it.each([
  ["example.com", "example.com", true],
  ["example.com", "evil-example.com", false],
  ["example.com", "example.com.evil.test", false],
  ["example.com", "a.example.com", false],
  ["*.example.com", "a.example.com", true],
  ["*.example.com", "example.com", false],
  ["*.example.com", "a.b.example.com", false],
  ["*.example.com", "evil-example.com", false],
  ["*.example.com", ".example.com", false],
])("%s and %s: %s", (pattern, host, expected) => {
  expect(matchesHost(pattern, host)).toBe(expected);
});

it.each([
  ["example.com", true],
  ["*.example.com", true],
  ["*", false],
  ["*.com", false],
  ["a.*.com", false],
  ["*a.example.com", false],
  ["*.*.example.com", false],
])("pattern %s is fine: %s", (pattern, isFine) => {
  expect(refuseHostPattern(pattern) === undefined).toBe(isFine);
});
