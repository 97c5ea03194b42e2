// Sizes, suppressed rules and the bans that need no syntax tree, over the whole checkout.
import { join } from "node:path";
import { expect, test } from "vitest";
import { checkPatterns, checkSizes, checkSuppressions } from "./check-text.ts";
import { printed, readTree } from "./scan.ts";

const root = join(import.meta.dirname, "../..");
const everything = readTree(root, /\.(tsx?|mjs|js|sh|css|html|md|json|ya?ml)$|^[a-z-]+$/);
// The checkers' own fixtures break the rules on purpose.
const OURS = new Set(["test/architecture/fixtures.ts", "test/architecture/check-text.ts"]);
const code = new Map(
  [...everything].filter(([file]) => /\.(tsx?|mjs|js|sh)$|^bin\//.test(file) && !OURS.has(file)),
);

test("no file of code is over its limit of lines", () => {
  expect(printed(checkSizes(code))).toBe("");
});

test("no check is switched off without a reason, and no boundary at all", () => {
  expect(printed(checkSuppressions(code))).toBe("");
});

test("no sleeping test, silent skip, swallowed error or path of one machine", () => {
  expect(printed(checkPatterns(everything))).toBe("");
});
