/** Whether a normalised path, or a header's value, is what a rule names. Patterns are compiled once for as long as their rule lives. */
import type { HeaderMatch, PathMatch } from "./egress.ts";
import { withSlashes } from "./path.ts";
import { compilePattern } from "./pattern/compile.ts";
import type { Matcher } from "./pattern/matcher.ts";

type Kept = WeakMap<PathMatch | HeaderMatch, Matcher>;

const plain: Kept = new WeakMap();
const slashed: Kept = new WeakMap();

/** Tells whether a path satisfies a rule; a prefix counts whole segments and ignores its trailing slash. */
export function matchesPath(match: PathMatch, path: string): boolean {
  return matcherOf(match, plain, match.value)(path);
}

/** The same for the reading in which an escaped slash is a slash, in the rule as in the path. */
export function matchesSlashedPath(match: PathMatch, path: string): boolean {
  return matcherOf(match, slashed, withSlashes(match.value))(path);
}

/** Tells whether one header value is what a rule names. */
export function matchesHeaderValue(match: HeaderMatch, value: string): boolean {
  if (match.kind !== "regex") return value === match.value;
  const known = plain.get(match) ?? pattern("regex", match.value);
  plain.set(match, known);
  return known(value);
}

function matcherOf(match: PathMatch, kept: Kept, value: string): Matcher {
  const known = kept.get(match);
  if (known !== undefined) return known;
  const made = compile(match.kind, value);
  kept.set(match, made);
  return made;
}

function compile(kind: PathMatch["kind"], value: string): Matcher {
  if (kind === "exact") return (path) => path === value;
  if (kind !== "prefix") return pattern(kind, value);
  const prefix = value.endsWith("/") ? value.slice(0, -1) : value;
  return (path) => path === prefix || path.startsWith(`${prefix}/`);
}

/** A pattern that cannot be compiled fits nothing: the manifest and the daemon refuse it before it comes here. */
function pattern(kind: "glob" | "regex", value: string): Matcher {
  const compiled = compilePattern(kind, value);
  return compiled.ok ? compiled.matches : () => false;
}
