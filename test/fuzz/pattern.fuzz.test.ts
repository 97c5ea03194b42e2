// The patterns of rules against a naive engine: the same language, whatever the text.
import fc from "fast-check";
import { expect, it } from "vitest";
import { compilePattern } from "../../src/policy/pattern/compile.ts";
import { MAX_STATES } from "../../src/policy/pattern/program.ts";

const SEED = 20_260_718;
const run = (numRuns: number): { seed: number; numRuns: number } => ({ seed: SEED, numRuns });

const atom = fc.constantFrom(
  ..."a b c / - . \\. \\d \\w \\s \\/ [ab] [^a] [a-c] [^/] [\\d-] ^ $ %2F".split(" "),
);
const quantifier = fc.constantFrom("", "", "", "*", "+", "?", "{2}", "{0,2}", "{1,}", "*?", "+?");
const isAnchor = (text: string): boolean => text === "^" || text === "$";
const plainPart = fc.tuple(atom, quantifier).map(([it, count]) => (isAnchor(it) ? it : it + count));
const groupOf = (part: fc.Arbitrary<string>): fc.Arbitrary<string> =>
  fc
    .array(fc.array(part, { maxLength: 3 }), { minLength: 1, maxLength: 3 })
    .map((options) => options.map((parts) => parts.join("")).join("|"));
// Two levels of repetition and short texts: the other engine goes back, and would not come to an end.
const group = fc.tuple(groupOf(plainPart), quantifier).map(([it, count]) => `(?:${it})${count}`);
const regex = groupOf(fc.oneof(plainPart, group));
const text = fc
  .array(fc.constantFrom(..."a b c / - . 1 _ % 2 F \u00e9".split(" "), " "), { maxLength: 8 })
  .map((parts) => parts.join(""));

it("a regular expression means what it means elsewhere", () => {
  let matched = 0;
  fc.assert(
    fc.property(regex, fc.array(text, { minLength: 4, maxLength: 4 }), (pattern, texts) => {
      const compiled = compilePattern("regex", pattern);
      if (!compiled.ok) {
        expect(pattern === "" || compiled.reason.includes(String(MAX_STATES))).toBe(true);
        return;
      }
      const naive = new RegExp(`^(?:${pattern})$`, "u");
      for (const it of texts) {
        const expected = naive.test(it);
        if (expected) matched += 1;
        expect(compiled.matches(it), `${pattern} on ${it}`).toBe(expected);
        // What was computed for the first text is found again for the second.
        expect(compiled.matches(it)).toBe(expected);
      }
    }),
    run(4000),
  );
  expect(matched).toBeGreaterThan(500);
});

it("any text is a pattern or is refused, and a pattern is one elsewhere too", () => {
  const soup = fc
    .array(fc.constantFrom(...'a()[]{}|*+?^$\\.-,:=!<>0129dwsbkxpu"&~ '.split("")), {
      maxLength: 14,
    })
    .map((parts) => parts.join(""));
  fc.assert(
    fc.property(soup, text, (pattern, subject) => {
      const compiled = compilePattern("regex", pattern);
      if (!compiled.ok) return;
      // An escape that means itself is written so that a strict engine takes it.
      const strict = pattern.replace(/\\(.)/g, (all, it: string) =>
        /[-,:=!<>"&~ ]/.test(it) ? `\\x${it.charCodeAt(0).toString(16)}` : all,
      );
      let naive: RegExp;
      try {
        naive = new RegExp(`^(?:${strict})$`, "u");
      } catch (error) {
        expect(error, `${pattern} is no pattern elsewhere`).toBeUndefined();
        return;
      }
      expect(compiled.matches(subject), `${pattern} on ${subject}`).toBe(naive.test(subject));
    }),
    run(8000),
  );
});

/** Globs by trying everything: slow and plainly right. */
function globFits(parts: readonly string[], segments: readonly string[]): boolean {
  const [first, ...rest] = parts;
  if (first === undefined) return segments.length === 0;
  if (first === "**") {
    if (rest.length === 0) return segments.length > 0;
    for (let count = 0; count <= segments.length; count += 1) {
      const taken = segments.slice(0, count);
      if (taken.every((it) => it !== "") && globFits(rest, segments.slice(count))) return true;
    }
    return false;
  }
  const [segment, ...others] = segments;
  return segment !== undefined && segmentFits(first, segment) && globFits(rest, others);
}

function segmentFits(part: string, segment: string): boolean {
  if (part === "") return segment === "";
  const [head, tail] = [part.charAt(0), part.slice(1)];
  if (head === "*") {
    for (let count = 0; count <= segment.length; count += 1)
      if (segmentFits(tail, segment.slice(count))) return true;
    return false;
  }
  if (segment === "") return false;
  if (head !== "?") return segment.startsWith(head) && segmentFits(tail, segment.slice(1));
  const escape = /^%[0-9A-F]{2}/.exec(segment)?.[0];
  if (escape !== undefined) return segmentFits(tail, segment.slice(3));
  return segment.charAt(0) !== "%" && segmentFits(tail, segment.slice(1));
}

it("a glob means what trying everything finds", () => {
  const segment = fc
    .array(fc.constantFrom("a", "b", "*", "?", "%20", "."), { maxLength: 4 })
    .map((it) => it.join("").replace(/\*+/g, "*"));
  const glob = fc.array(fc.oneof(segment, fc.constant("**")), { minLength: 1, maxLength: 4 });
  const path = fc.array(
    fc
      .array(fc.constantFrom("a", "b", "%20", "%2F", "."), { maxLength: 4 })
      .map((it) => it.join("")),
    { minLength: 1, maxLength: 5 },
  );
  fc.assert(
    fc.property(glob, path, (parts, segments) => {
      const compiled = compilePattern("glob", `/${parts.join("/")}`);
      expect(compiled.ok).toBe(true);
      const got = compiled.ok && compiled.matches(`/${segments.join("/")}`);
      expect(got, `/${parts.join("/")} on /${segments.join("/")}`).toBe(globFits(parts, segments));
    }),
    run(8000),
  );
});
