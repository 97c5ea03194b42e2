/** A decoded form of some bytes, and the way back from a decoded range to the bytes that it came from. */
import { STEP_BYTES, type Steps } from "./steps.ts";

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
  locate(range: Range): Range | Steps<Range>;
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

/** Decodes `input` into `output` and ends with the length written; fills the trace where one is given. */
export type Decode = (input: Buffer, output: Buffer, trace: Trace | undefined) => Steps<number>;

/** Runs a decoder that writes at most as much as `output` holds; where bytes came from is computed by a second run, at the first question. */
export function* decodeLayer(
  encoding: string,
  input: Buffer,
  output: Buffer,
  decode: Decode,
): Steps<Layer> {
  const capacity = output.length;
  const bytes = output.subarray(0, yield* decode(input, output, undefined));
  let known: Trace | undefined;
  return {
    encoding,
    bytes,
    *locate({ start, end }) {
      if (known === undefined) {
        const trace = new Trace(capacity);
        yield* decode(input, Buffer.allocUnsafe(capacity), trace);
        known = trace;
      }
      return { start: known.starts[start] ?? 0, end: known.ends[end - 1] ?? input.length };
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
    locate: ({ start, end }) => {
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
export function* findStretches(
  input: Buffer,
  marked: Uint8Array,
  minimum: number,
): Steps<readonly Range[]> {
  const finder = new StretchFinder(input, marked, minimum);
  for (let stop = STEP_BYTES; !finder.runTo(stop); stop += STEP_BYTES) yield;
  return finder.found;
}

/** Whether there is any. */
export function hasStretch(input: Buffer, marked: Uint8Array, minimum: number): boolean {
  const finder = new StretchFinder(input, marked, minimum);
  finder.runTo(input.length);
  return finder.found.length > 0;
}

class StretchFinder {
  readonly found: Range[] = [];
  readonly #input: Buffer;
  readonly #marked: Uint8Array;
  readonly #minimum: number;
  #start = 0;
  /** End of the stretch that is being followed; 0 between stretches. */
  #end = 0;

  constructor(input: Buffer, marked: Uint8Array, minimum: number) {
    this.#input = input;
    this.#marked = marked;
    this.#minimum = minimum;
  }

  /** Goes on to some place; true at the end of the input. */
  runTo(stop: number): boolean {
    const last = this.#input.length - this.#minimum;
    while (this.#start <= last) {
      if (this.#end > 0 && !this.#follow(stop)) return false;
      if (this.#start >= stop) return false;
      this.#seek(Math.min(last, stop));
    }
    return true;
  }

  /** Looks for the next stretch up to some place. */
  #seek(stop: number): void {
    const input = this.#input;
    const marked = this.#marked;
    const minimum = this.#minimum;
    let start = this.#start;
    while (start <= stop) {
      let back = start + minimum - 1;
      while (back >= start && marked[input[back] ?? 0] === 1) back -= 1;
      if (back < start) {
        this.#end = start + minimum;
        break;
      }
      start = back + 1;
    }
    this.#start = start;
  }

  /** Follows a stretch; false when it goes on behind the place. */
  #follow(stop: number): boolean {
    const input = this.#input;
    const marked = this.#marked;
    const limit = Math.max(this.#end, Math.min(input.length, stop));
    let end = this.#end;
    while (end < limit && marked[input[end] ?? 0] === 1) end += 1;
    this.#end = end;
    if (end === limit && limit < input.length) return false;
    this.found.push({ start: this.#start, end });
    this.#start = end + 1;
    this.#end = 0;
    return true;
  }
}
