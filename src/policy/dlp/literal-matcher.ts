/**
 * Finds many literals at once (Wu-Manber with blocks of two bytes). Compares folded bytes, so letter case and the base64
 * alphabet do not matter; speed does not depend on how many literals there are.
 */
import { BYTE_FOLD } from "./fold.ts";
import { STEP_BYTES } from "./steps.ts";

/** One thing to find. */
export interface Literal {
  readonly secret: string;
  readonly encoding: string;
  readonly bytes: Buffer;
}

/** Told of each match; answering false ends the search. */
export type OnMatch = (literal: Literal, start: number, end: number) => boolean;

/** A literal and where it stands. */
export interface Match {
  readonly literal: Literal;
  readonly start: number;
  readonly end: number;
}

/** A compiled set of literals. */
export interface LiteralMatcher {
  /** Length of the longest literal in bytes; 0 without literals. */
  readonly longest: number;
  find(bytes: Uint8Array, onMatch: OnMatch): void;
  /** Finds the same in steps: gives each match, and nothing at the end of a step. */
  search(bytes: Uint8Array): Iterable<Match | undefined>;
  /** Where the longest tail begins that could grow into a literal; the length of `bytes` when there is none. */
  openTail(bytes: Uint8Array): number;
}

/** Literals shorter than this would match by chance. */
export const MIN_LITERAL_BYTES = 8;

interface Compiled {
  readonly window: number;
  readonly shift: Uint8Array;
  readonly buckets: ReadonlyMap<number, readonly FoldedLiteral[]>;
}

interface FoldedLiteral {
  readonly literal: Literal;
  readonly folded: Uint8Array;
}

/** Input bytes that fold to a given byte. */
const UNFOLD: readonly (readonly number[])[] = makeUnfold();

function makeUnfold(): number[][] {
  const table: number[][] = Array.from({ length: 256 }, () => []);
  for (const [byte, folded] of BYTE_FOLD.entries()) table[folded]?.push(byte);
  return table;
}

const foldBytes = (bytes: Uint8Array): Uint8Array => bytes.map((byte) => BYTE_FOLD[byte] ?? byte);

function compile(literals: readonly FoldedLiteral[]): Compiled {
  const window = Math.min(255, ...literals.map((it) => it.folded.length));
  const shift = new Uint8Array(65_536).fill(window - 1);
  const buckets = new Map<number, FoldedLiteral[]>();
  const lower = (block: number, steps: number): void => {
    shift[block] = Math.min(shift[block] ?? 0, steps);
  };
  for (const it of literals) {
    for (let end = 1; end < window; end += 1) {
      const blocks = blocksOf(it.folded[end - 1] ?? 0, it.folded[end] ?? 0);
      for (const block of blocks) lower(block, window - 1 - end);
    }
    const lastBlocks = blocksOf(it.folded[window - 2] ?? 0, it.folded[window - 1] ?? 0);
    for (const block of lastBlocks) append(buckets, block, it);
  }
  return { window, shift, buckets };
}

function blocksOf(first: number, second: number): number[] {
  return (UNFOLD[first] ?? []).flatMap((a) => (UNFOLD[second] ?? []).map((b) => a * 256 + b));
}

function append(
  buckets: Map<number, FoldedLiteral[]>,
  block: number,
  literal: FoldedLiteral,
): void {
  const bucket = buckets.get(block);
  if (bucket === undefined) buckets.set(block, [literal]);
  else bucket.push(literal);
}

function isAt(folded: Uint8Array, bytes: Uint8Array, start: number, length: number): boolean {
  for (let index = 0; index < length; index += 1) {
    if (BYTE_FOLD[bytes[start + index] ?? 0] !== folded[index]) return false;
  }
  return true;
}

/** Searches from a place, the end of the first window, to another; gives the place to go on from, which is beyond everything when told to stop. */
function search(
  compiled: Compiled,
  bytes: Uint8Array,
  range: { readonly from: number; readonly to: number },
  onMatch: OnMatch,
): number {
  const { window, shift, buckets } = compiled;
  const stop = Math.min(range.to, bytes.length);
  let last = range.from;
  while (last < stop) {
    const block = ((bytes[last - 1] ?? 0) << 8) | (bytes[last] ?? 0);
    const step = shift[block] ?? 0;
    if (step > 0) {
      last += step;
      continue;
    }
    const start = last - window + 1;
    for (const { folded, literal } of buckets.get(block) ?? []) {
      const end = start + folded.length;
      if (end > bytes.length || !isAt(folded, bytes, start, folded.length)) continue;
      if (!onMatch(literal, start, end)) return Number.POSITIVE_INFINITY;
    }
    last += 1;
  }
  return last;
}

function* searchInSteps(
  compiled: Compiled,
  bytes: Uint8Array,
): Generator<Match | undefined, void, undefined> {
  const found: Match[] = [];
  const onMatch: OnMatch = (literal, start, end) => found.push({ literal, start, end }) > 0;
  let from = compiled.window - 1;
  while (from < bytes.length) {
    from = search(compiled, bytes, { from, to: from + STEP_BYTES }, onMatch);
    yield* found;
    found.length = 0;
    if (from < bytes.length) yield undefined;
  }
}

/** First two folded bytes of all literals, as a table of marks. */
function markHeads(literals: readonly FoldedLiteral[]): Uint8Array {
  const marks = new Uint8Array(65_536);
  for (const { folded } of literals) {
    for (const block of blocksOf(folded[0] ?? 0, folded[1] ?? 0)) marks[block] = 1;
  }
  return marks;
}

/** Compiles literals; those shorter than {@link MIN_LITERAL_BYTES} and repeated ones are left out. */
export function createLiteralMatcher(literals: readonly Literal[]): LiteralMatcher {
  const distinct = new Map<string, FoldedLiteral>();
  for (const literal of literals) {
    const folded = foldBytes(literal.bytes);
    const key = `${literal.secret}\0${Buffer.from(folded).toString("latin1")}`;
    if (folded.length >= MIN_LITERAL_BYTES && !distinct.has(key))
      distinct.set(key, { literal, folded });
  }
  const kept = [...distinct.values()];
  const longest = Math.max(0, ...kept.map((it) => it.folded.length));
  if (kept.length === 0) {
    const openTail = (bytes: Uint8Array): number => bytes.length;
    return { longest, find: () => undefined, search: () => [], openTail };
  }
  const compiled = compile(kept);
  const heads = markHeads(kept);
  const isOpen = (bytes: Uint8Array, start: number): boolean => {
    const length = bytes.length - start;
    return kept.some((it) => it.folded.length > length && isAt(it.folded, bytes, start, length));
  };
  return {
    longest,
    find: (bytes, onMatch) =>
      void search(compiled, bytes, { from: compiled.window - 1, to: bytes.length }, onMatch),
    search: (bytes) => searchInSteps(compiled, bytes),
    openTail: (bytes) => {
      for (let start = Math.max(0, bytes.length - longest + 1); start < bytes.length; start += 1) {
        const block = ((bytes[start] ?? 0) << 8) | (bytes[start + 1] ?? 0);
        const isLast = start === bytes.length - 1;
        if ((isLast || heads[block] === 1) && isOpen(bytes, start)) return start;
      }
      return bytes.length;
    },
  };
}
