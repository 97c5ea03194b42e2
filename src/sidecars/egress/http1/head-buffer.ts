/** Collects bytes until the head of a message is whole. What can no longer become one is refused before its end comes. */
import { CR, LF, VALUE } from "./bytes.ts";
import { Malformed } from "./fields.ts";
import { MAX_HEAD_BYTES } from "./head.ts";

const END = Buffer.from("\r\n\r\n", "latin1");
const FIRST_SIZE = 4096;

/** A whole head as Latin-1 with the CRLF of its last line, and what came behind it. */
export interface TakenHead {
  readonly text: string;
  readonly rest: Buffer | undefined;
}

/** Buffer of one connection; empty again after each head. */
export class HeadBuffer {
  #held: Buffer | undefined;
  #length = 0;

  /** Whether a head has begun. */
  get isEmpty(): boolean {
    return this.#length === 0;
  }

  /** Takes bytes; undefined while the head is not whole. */
  take(chunk: Buffer): TakenHead | Malformed | undefined {
    if (this.#length > 0) return this.#append(chunk);
    const end = chunk.indexOf(END);
    if (end >= 0) return cut(chunk, end, chunk.length);
    const fault = judgePart(chunk, 0, chunk.length);
    if (fault !== undefined) return fault;
    this.#hold(chunk);
    return undefined;
  }

  #append(chunk: Buffer): TakenHead | Malformed | undefined {
    const before = this.#length;
    this.#hold(chunk);
    const held = this.#held ?? chunk;
    const end = held.subarray(0, this.#length).indexOf(END, Math.max(0, before - 3));
    if (end >= 0) {
      const taken = cut(held, end, this.#length);
      this.#length = 0;
      this.#held = undefined;
      return taken;
    }
    return judgePart(held, Math.max(0, before - 1), this.#length);
  }

  #hold(chunk: Buffer): void {
    const size = this.#length + chunk.length;
    if (this.#held === undefined || this.#held.length < size) {
      const larger = Buffer.allocUnsafe(Math.max(FIRST_SIZE, size * 2));
      this.#held?.copy(larger, 0, 0, this.#length);
      this.#held = larger;
    }
    chunk.copy(this.#held, this.#length);
    this.#length = size;
  }
}

const tooLong: Malformed = new Malformed(`the header block is over ${MAX_HEAD_BYTES / 1024} KiB`);

function cut(bytes: Buffer, end: number, length: number): TakenHead | Malformed {
  if (end + END.length > MAX_HEAD_BYTES) return tooLong;
  const text = bytes.toString("latin1", 0, end + 2);
  const behind = end + END.length;
  return { text, rest: behind < length ? bytes.subarray(behind, length) : undefined };
}

/** A head without an end yet: an end in bare line feeds would never come otherwise, and noise would wait for its timeout. */
function judgePart(bytes: Buffer, start: number, end: number): Malformed | undefined {
  if (end > MAX_HEAD_BYTES) return tooLong;
  for (let at = start; at < end; at += 1) {
    const byte = bytes[at] ?? 0;
    if (VALUE[byte] === 1) continue;
    const isLineEnd =
      (byte === CR && (at + 1 === end || bytes[at + 1] === LF)) ||
      (byte === LF && (at > 0 ? bytes[at - 1] === CR : false));
    if (!isLineEnd) return new Malformed("a line ends in something else than CR LF");
  }
  return bytes[0] === CR ? new Malformed("an empty line stands before the head") : undefined;
}
