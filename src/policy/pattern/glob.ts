/** Globs over paths: `*` stays within a segment, `**` as a whole segment takes any number of them, `?` is one character or escape. */
import {
  codeSet,
  complement,
  literal,
  MAX_PATTERN_LENGTH,
  type ParsedPattern,
  type PatternNode,
} from "./syntax.ts";

const SLASH = codeSet([0x2f, 0x2f]);
const HEX = codeSet([0x30, 0x39], [0x41, 0x46]);
const ANY: PatternNode = { kind: "set", set: complement(codeSet()) };
const IN_SEGMENT: PatternNode = { kind: "set", set: complement(SLASH) };
/** One character as people count: an escape is one. */
const ONE: PatternNode = {
  kind: "choice",
  options: [
    { kind: "set", set: complement(codeSet([0x2f, 0x2f], [0x25, 0x25])) },
    {
      kind: "sequence",
      parts: [literal("%"), { kind: "set", set: HEX }, { kind: "set", set: HEX }],
    },
  ],
};

const repeat = (node: PatternNode): PatternNode => ({
  kind: "repeat",
  node,
  min: 0,
  max: undefined,
});
const sequence = (...parts: PatternNode[]): PatternNode => ({ kind: "sequence", parts });

/** Reads a glob. */
export function parseGlob(text: string): ParsedPattern {
  if (text.length > MAX_PATTERN_LENGTH)
    return { ok: false, reason: `is longer than ${MAX_PATTERN_LENGTH} characters` };
  if (!text.startsWith("/")) return { ok: false, reason: "does not begin with a slash" };
  const odd = /[[\]{}\\]/.exec(text)?.[0];
  if (odd !== undefined)
    return { ok: false, reason: `holds "${odd}", which means different things in different globs` };
  const segments = text.slice(1).split("/");
  if (segments.some((it) => it.includes("**") && it !== "**"))
    return { ok: false, reason: "has ** beside other text in one segment" };
  const parts = segments.map((segment, index) =>
    segment === "**" ? manySegments(index === segments.length - 1) : oneSegment(segment),
  );
  return { ok: true, node: sequence(...parts) };
}

/** `/**` at the end takes everything below; elsewhere any number of whole segments, none included. */
function manySegments(isLast: boolean): PatternNode {
  if (isLast) return sequence(literal("/"), repeat(ANY));
  const segment = sequence(literal("/"), IN_SEGMENT, repeat(IN_SEGMENT));
  return repeat(segment);
}

function oneSegment(text: string): PatternNode {
  const parts = Array.from(text, (character) => {
    if (character === "*") return repeat(IN_SEGMENT);
    return character === "?" ? ONE : literal(character);
  });
  return sequence(literal("/"), ...parts);
}
