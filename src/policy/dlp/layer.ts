/** A decoded form of some bytes, and the way back from a decoded range to the bytes that it came from. */

/** A range of bytes, its end excluded. */
export interface Range {
  readonly start: number;
  readonly end: number;
}

/** Decoded bytes. */
export interface Layer {
  readonly encoding: string;
  readonly bytes: Buffer;
  /** Range of the input that covers a range of the decoded bytes. */
  locate(start: number, end: number): Range;
}

/** Input range of each decoded byte; made only when something was found. */
export class Trace {
  readonly starts: Uint32Array;
  readonly ends: Uint32Array;

  constructor(length: number) {
    this.starts = new Uint32Array(length);
    this.ends = new Uint32Array(length);
  }

  set(at: number, start: number, end: number): void {
    this.starts[at] = start;
    this.ends[at] = end;
  }
}

/** Decodes `input` into `output` and returns the length written; fills the trace where one is given. */
export type Decode = (input: Buffer, output: Buffer, trace: Trace | undefined) => number;

/** Runs a decoder that writes at most as much as `output` holds; where bytes came from is computed by a second run, at the first question. */
export function decodeLayer(
  encoding: string,
  input: Buffer,
  output: Buffer,
  decode: Decode,
): Layer {
  const capacity = output.length;
  const bytes = output.subarray(0, decode(input, output, undefined));
  let known: Trace | undefined;
  const tracing = (): Trace => {
    if (known !== undefined) return known;
    known = new Trace(capacity);
    decode(input, Buffer.allocUnsafe(capacity), known);
    return known;
  };
  return {
    encoding,
    bytes,
    locate: (start, end) => {
      const { starts, ends } = tracing();
      return { start: starts[start] ?? 0, end: ends[end - 1] ?? input.length };
    },
  };
}

/** A piece of input and where it stands in a joined layer. */
export interface Piece extends Range {
  readonly at: number;
}

/** The last piece that begins at or before a decoded position; by halving, because hostile input has many pieces. */
function pieceAt(pieces: readonly Piece[], position: number): Piece | undefined {
  let low = 0;
  let high = pieces.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((pieces[middle]?.at ?? 0) <= position) low = middle + 1;
    else high = middle;
  }
  return pieces[low - 1];
}

/** A layer of pieces joined by single NUL bytes; `locate` gives whole pieces unless `isExact`. */
export function joinedLayer(
  encoding: string,
  bytes: Buffer,
  pieces: readonly Piece[],
  isExact: boolean,
): Layer {
  return {
    encoding,
    bytes,
    locate: (start, end) => {
      const first = pieceAt(pieces, start);
      const last = pieceAt(pieces, end - 1);
      if (first === undefined || last === undefined) return { start: 0, end: 0 };
      if (!isExact) return { start: first.start, end: last.end };
      return {
        start: first.start + (start - first.at),
        end: Math.min(last.end, last.start + (end - last.at)),
      };
    },
  };
}

/** Stretches of at least `minimum` bytes that are all marked in a table; looks at a fraction of the other bytes. */
export function findStretches(input: Buffer, marked: Uint8Array, minimum: number): Range[] {
  const found: Range[] = [];
  let start = 0;
  while (start + minimum <= input.length) {
    let back = start + minimum - 1;
    while (back >= start && marked[input[back] ?? 0] === 1) back -= 1;
    if (back >= start) {
      start = back + 1;
      continue;
    }
    let end = start + minimum;
    while (end < input.length && marked[input[end] ?? 0] === 1) end += 1;
    found.push({ start, end });
    start = end + 1;
  }
  return found;
}
