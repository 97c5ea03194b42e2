// Checks on the text itself: sizes, suppressed rules, and what the linter cannot see.
import { basename } from "node:path";
import { type Tree, type Violation, withoutComments } from "./scan.ts";

export const MAX_LINES = 400;
/** Test files are tables more often than code. */
export const MAX_TEST_LINES = 600;

/** Tables and generated files that may be longer, each with its reason. */
export const LONG_FILES: Readonly<Record<string, string>> = {};

/** Rules that no comment may switch off: they hold the boundaries. */
const NEVER_DISABLED =
  /no-restricted|no-explicit-any|no-non-null|default-export|no-empty|no-floating|exhaustive|no-cycle|preserve-caught|no-console/;

type Pattern = {
  readonly rule: string;
  readonly in: RegExp;
  readonly except?: RegExp;
  readonly pattern: RegExp;
  readonly instead: string;
};

const isTest = /\.test\.tsx?$/;
const PATTERNS: readonly Pattern[] = [
  {
    rule: "sleep",
    in: isTest,
    pattern:
      /\bawait\s+(?:setTimeout|sleep|delay)\(|\bnew Promise\b[^;]{0,60}\bsetTimeout\(|timers\/promises/,
    instead: "wait for the event itself, or use vi.waitFor",
  },
  {
    rule: "silent skip",
    in: isTest,
    pattern: /\b(?:test|it|describe)(?:\.\w+)*\.(?:skip|only|todo|skipIf|runIf)\b/,
    instead: "pass requires(…) of test/support/requires.ts as the options: it gives the reason",
  },
  {
    rule: "mock",
    in: isTest,
    pattern: /\bvi\.(?:mock|doMock)\(/,
    instead: "pass a fake of src/testing through the port",
  },
  {
    rule: "clock",
    in: /^src\//,
    except: /^src\/base\/|\.test\.tsx?$/,
    pattern: /\bnew Date\(\s*\)/,
    instead: "take a Clock from src/base/clock.ts as an argument",
  },
  {
    rule: "swallowed error",
    in: /^src\//,
    pattern:
      /\.catch\(\s*\(\w*\)\s*=>\s*(?:\{\s*\}|undefined|null|void 0)\s*\)|\bcatch\s*(?:\(\w+\)\s*)?\{\s*(?:\/\/[^\n]*\s*|\/\*[\s\S]*?\*\/\s*)*\}/,
    instead: 'use ignore(promise, "why") of src/base, or handle it',
  },
];

/** Paths of one machine; written so that this file does not name them. */
const MACHINE = new RegExp(
  `(?<![\\w~.])(?:${["work", "tmp/bs"].map((it) => `/${it}/`).join("|")})`,
);

/** Files over the limit of lines. */
export function checkSizes(tree: Tree): Violation[] {
  const found: Violation[] = [];
  for (const [file, text] of tree) {
    const lines = text.split("\n").length - (text.endsWith("\n") ? 1 : 0);
    const limit = isTest.test(file) ? MAX_TEST_LINES : MAX_LINES;
    if (lines <= limit || basename(file).includes(".generated.") || file in LONG_FILES) continue;
    const instead = "split it by what it owns";
    found.push({ rule: "size", file, found: `${lines} lines, over ${limit}`, instead });
  }
  return found;
}

/** Comments that switch a check off without a reason, or switch off a boundary. */
export function checkSuppressions(tree: Tree): Violation[] {
  const found: Violation[] = [];
  const comment =
    /(?:\/\/|\/\*)\s*((?:oxlint|eslint)-disable\S*|biome-ignore(?:-\w+)*|@ts-(?:ignore|expect-error|nocheck))(.*)/g;
  for (const [file, text] of tree) {
    for (const [whole, kind = "", rest = ""] of text.matchAll(comment)) {
      const isLint = kind.includes("lint-");
      const reason = isLint ? rest.split(" -- ")[1] : rest.replace(/^[^:]*:/, "");
      const hasReason = (reason ?? "").replace("*/", "").trim().length >= 8;
      const isBoundary =
        isLint && (NEVER_DISABLED.test(rest) || !/[\w-]{4}/.test(rest.split(" -- ")[0] ?? ""));
      if (hasReason && !isBoundary) continue;
      const instead = isBoundary ? "this rule is never switched off" : "add ` -- reason`";
      found.push({ rule: "suppression", file, found: whole.trim(), instead });
    }
  }
  return found;
}

/** What the linter cannot see: sleeping tests, silent skips, swallowed errors, one machine's paths. */
export function checkPatterns(tree: Tree): Violation[] {
  const found: Violation[] = [];
  for (const [file, text] of tree) {
    const source = withoutComments(text);
    for (const it of PATTERNS) {
      if (!it.in.test(file) || it.except?.test(file)) continue;
      const hit = it.pattern.exec(source)?.[0];
      if (hit)
        found.push({ rule: it.rule, file, found: hit.replace(/\s+/g, " "), instead: it.instead });
    }
    const path = MACHINE.exec(text)?.[0];
    if (path) found.push({ rule: "machine path", file, found: path, instead: "derive the path" });
  }
  return found;
}
