/**
 * Reads the regular expressions of rules into a tree. The dialect is what a linear-time engine can run and what every other
 * dialect reads the same way; anything else is refused, never guessed.
 */

/** Longest pattern in characters. */
export const MAX_PATTERN_LENGTH = 1000;
/** Deepest nesting of groups: the reader calls itself. */
const MAX_DEPTH = 50;
/** Largest count of a `{n,m}`. */
const MAX_COUNT = 1000;

/** Which of the codes 0-255 a place takes. Nothing above them ever fits: paths and header values hold no such character. */
export type CodeSet = Uint8Array;

/** A pattern as a tree. */
export type PatternNode =
  | { readonly kind: "set"; readonly set: CodeSet }
  | { readonly kind: "start" }
  | { readonly kind: "end" }
  | { readonly kind: "sequence"; readonly parts: readonly PatternNode[] }
  | { readonly kind: "choice"; readonly options: readonly PatternNode[] }
  | {
      readonly kind: "repeat";
      readonly node: PatternNode;
      readonly min: number;
      /** Undefined: without end. */
      readonly max: number | undefined;
    };

/** Outcome of reading; `reason` continues "the pattern …". */
export type ParsedPattern =
  | { readonly ok: true; readonly node: PatternNode }
  | { readonly ok: false; readonly reason: string };

/** A set of the given ranges of codes. */
export function codeSet(...ranges: readonly (readonly [from: number, to: number])[]): CodeSet {
  const set = new Uint8Array(256);
  for (const [from, to] of ranges) set.fill(1, from, to + 1);
  return set;
}

/** The codes that are not in a set. */
export function complement(set: CodeSet): CodeSet {
  return set.map((it) => 1 - it);
}

/** One character. */
export function literal(character: string): PatternNode {
  const code = character.charCodeAt(0);
  return { kind: "set", set: codeSet([code, code]) };
}

const code = (character: string): number => character.charCodeAt(0);
const DIGIT = codeSet([code("0"), code("9")]);
const WORD = codeSet(
  [code("0"), code("9")],
  [code("A"), code("Z")],
  [code("_"), code("_")],
  [code("a"), code("z")],
);
const SPACE = codeSet([0x09, 0x0d], [0x20, 0x20], [0xa0, 0xa0]);
const CLASSES: Readonly<Record<string, CodeSet>> = {
  d: DIGIT,
  D: complement(DIGIT),
  w: WORD,
  W: complement(WORD),
  s: SPACE,
  S: complement(SPACE),
};
const CONTROLS: Readonly<Record<string, number>> = { t: 9, n: 10, v: 11, f: 12, r: 13 };
/** A dot takes everything but the ends of a line, as elsewhere. */
const DOT = complement(codeSet([0x0a, 0x0a], [0x0d, 0x0d]));

/** Thrown inside this file only; {@link parsePattern} gives it back as a value. */
class PatternFault extends Error {}

/** Reads a pattern. */
export function parsePattern(text: string): ParsedPattern {
  if (text === "") return { ok: false, reason: "is empty" };
  if (text.length > MAX_PATTERN_LENGTH)
    return { ok: false, reason: `is longer than ${MAX_PATTERN_LENGTH} characters` };
  if (/[^\x20-\x7e]/.test(text))
    return { ok: false, reason: "holds a character beyond printable ASCII" };
  try {
    return { ok: true, node: new Reader(text).read() };
  } catch (error) {
    if (error instanceof PatternFault) return { ok: false, reason: error.message };
    throw error;
  }
}

/** A character that stands for itself. */
function plain(character: string): PatternNode {
  if ("*+?{".includes(character)) throw new PatternFault("repeats nothing");
  if ("]}".includes(character))
    throw new PatternFault(`has a "${character}" without its beginning; write \\${character}`);
  return literal(character);
}

class Reader {
  readonly #text: string;
  #at = 0;
  #depth = 0;

  constructor(text: string) {
    this.#text = text;
  }

  read(): PatternNode {
    const node = this.#choice();
    if (this.#at < this.#text.length) throw new PatternFault('has a ")" without its "("');
    return node;
  }

  #peek(): string {
    return this.#text.charAt(this.#at);
  }

  #take(wanted: string): boolean {
    if (!this.#text.startsWith(wanted, this.#at)) return false;
    this.#at += wanted.length;
    return true;
  }

  #choice(): PatternNode {
    const options = [this.#sequence()];
    while (this.#take("|")) options.push(this.#sequence());
    return options.length === 1 && options[0] !== undefined
      ? options[0]
      : { kind: "choice", options };
  }

  #sequence(): PatternNode {
    const parts: PatternNode[] = [];
    while (this.#at < this.#text.length && this.#peek() !== "|" && this.#peek() !== ")") {
      parts.push(this.#repeated());
    }
    return { kind: "sequence", parts };
  }

  #repeated(): PatternNode {
    const node = this.#atom();
    const count = this.#count();
    if (count === undefined) return node;
    if (node.kind === "start" || node.kind === "end")
      throw new PatternFault("repeats an anchor, which has no meaning");
    // Greedy or not makes no difference to whether the whole fits.
    this.#take("?");
    if (this.#count() !== undefined) throw new PatternFault("repeats a repetition");
    return { kind: "repeat", node, ...count };
  }

  #count(): { readonly min: number; readonly max: number | undefined } | undefined {
    if (this.#take("*")) return { min: 0, max: undefined };
    if (this.#take("+")) return { min: 1, max: undefined };
    if (this.#take("?")) return { min: 0, max: 1 };
    if (!this.#take("{")) return undefined;
    const match = /^(\d{1,4})(,(\d{1,4})?)?\}/.exec(this.#text.slice(this.#at));
    if (match === null) throw new PatternFault('has a "{" that begins no count; write \\{');
    this.#at += match[0].length;
    const min = Number(match[1]);
    const max =
      match[2] === undefined ? min : match[3] === undefined ? undefined : Number(match[3]);
    if (Math.max(min, max ?? 0) > MAX_COUNT) throw new PatternFault(`counts beyond ${MAX_COUNT}`);
    if (max !== undefined && max < min) throw new PatternFault("counts backwards");
    return { min, max };
  }

  #atom(): PatternNode {
    const character = this.#peek();
    this.#at += 1;
    switch (character) {
      case "(":
        return this.#group();
      case "[":
        return { kind: "set", set: this.#class() };
      case ".":
        return { kind: "set", set: DOT };
      case "^":
        return { kind: "start" };
      case "$":
        return { kind: "end" };
      case "\\":
        return { kind: "set", set: this.#escape() };
      default:
        return plain(character);
    }
  }

  #group(): PatternNode {
    if (this.#take("?") && !this.#take(":") && !this.#takeName())
      throw new PatternFault("has a look-around or flags");
    this.#depth += 1;
    if (this.#depth > MAX_DEPTH) throw new PatternFault(`nests groups deeper than ${MAX_DEPTH}`);
    const node = this.#choice();
    this.#depth -= 1;
    if (!this.#take(")")) throw new PatternFault('has a "(" without its ")"');
    return node;
  }

  /** A group's name means nothing here. */
  #takeName(): boolean {
    const match = /^<[A-Za-z_]\w*>/.exec(this.#text.slice(this.#at));
    return match !== null && this.#take(match[0]);
  }

  #escape(): CodeSet {
    const character = this.#peek();
    this.#at += 1;
    const named = CLASSES[character];
    if (named !== undefined) return named;
    const control = CONTROLS[character];
    if (control !== undefined) return codeSet([control, control]);
    if (character === "x") return this.#hex();
    if (/[1-9k]/.test(character)) throw new PatternFault("has a back-reference");
    if (character === "" || /[A-Za-z0-9]/.test(character))
      throw new PatternFault(`has an escape that is not known: \\${character}`);
    return codeSet([code(character), code(character)]);
  }

  #hex(): CodeSet {
    const digits = /^[0-9a-fA-F]{2}/.exec(this.#text.slice(this.#at))?.[0];
    if (digits === undefined) throw new PatternFault("has a \\x without two hexadecimal digits");
    this.#at += 2;
    const value = Number.parseInt(digits, 16);
    return codeSet([value, value]);
  }

  #class(): CodeSet {
    const isNegated = this.#take("^");
    const set = new Uint8Array(256);
    while (!this.#take("]")) {
      if (this.#at >= this.#text.length) throw new PatternFault('has a "[" without its "]"');
      this.#classItem(set);
    }
    return isNegated ? complement(set) : set;
  }

  #classItem(set: CodeSet): void {
    const first = this.#classAtom();
    const isRange = this.#peek() === "-" && !["]", ""].includes(this.#text.charAt(this.#at + 1));
    const last = isRange ? this.#rangeEnd() : first;
    const [from, to] = [onlyCode(first), onlyCode(last)];
    if (!isRange) first.forEach((it, index) => it === 1 && set.fill(1, index, index + 1));
    else if (from === undefined || to === undefined || from > to)
      throw new PatternFault("has a range that is none");
    else set.fill(1, from, to + 1);
  }

  #rangeEnd(): CodeSet {
    this.#at += 1;
    return this.#classAtom();
  }

  #classAtom(): CodeSet {
    const character = this.#peek();
    // Some dialects read these as classes or operations on sets.
    if (character === "[" || ["&&", "--", "~~"].some((it) => this.#text.startsWith(it, this.#at)))
      throw new PatternFault(`has "${character}" in brackets; write \\${character}`);
    this.#at += 1;
    return character === "\\" ? this.#escape() : codeSet([code(character), code(character)]);
  }
}

/** The code of a set that has one. */
function onlyCode(set: CodeSet): number | undefined {
  const first = set.indexOf(1);
  return first >= 0 && set.indexOf(1, first + 1) < 0 ? first : undefined;
}
