/** From a pattern's text to its matcher. The same function judges a manifest and enforces it, so that both agree on every pattern. */
import { parseGlob } from "./glob.ts";
import { createMatcher, type Matcher } from "./matcher.ts";
import { buildProgram, MAX_STATES } from "./program.ts";
import { parsePattern } from "./syntax.ts";

/** Outcome of compiling; `reason` continues "the pattern …". */
export type CompiledPattern =
  | { readonly ok: true; readonly matches: Matcher }
  | { readonly ok: false; readonly reason: string };

/** Compiles a regular expression, which must fit the whole text, or a glob over a path. */
export function compilePattern(kind: "regex" | "glob", text: string): CompiledPattern {
  const parsed = kind === "regex" ? parsePattern(text) : parseGlob(text);
  if (!parsed.ok) return parsed;
  const program = buildProgram(parsed.node);
  return program === undefined
    ? { ok: false, reason: `has more than ${MAX_STATES} states, its counts written out` }
    : { ok: true, matches: createMatcher(program) };
}
