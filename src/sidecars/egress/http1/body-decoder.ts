/** Finds the end of a body in the bytes of a connection and gives out its data, without copying. */
import type { HeaderList } from "../../../policy/headers.ts";
import type { Framing } from "../message.ts";
import { ChunkedDecoder } from "./chunked.ts";

/** Takes the data of a body. */
export type OnData = (chunk: Buffer) => void;

/** Reads one body. */
export interface BodyDecoder {
  /** Reads on from `at`; gives the place behind what belongs to the body. */
  feed(bytes: Buffer, at: number, onData: OnData): number;
  readonly isDone: boolean;
  /** What is wrong with the framing; nothing is read any more. */
  readonly fault: string | undefined;
  /** Whether the end of the connection is the end of the body. */
  readonly endsWithConnection: boolean;
  readonly trailers: HeaderList;
}

/** Makes the decoder of a body; `undefined` is one that ends with the connection. */
export function createDecoder(framing: Framing | undefined): BodyDecoder {
  if (framing === undefined) return new RestDecoder();
  return framing.kind === "stream"
    ? new ChunkedDecoder()
    : new LengthDecoder(framing.kind === "length" ? framing.length : 0);
}

const NONE: HeaderList = [];

class LengthDecoder implements BodyDecoder {
  readonly fault = undefined;
  readonly endsWithConnection = false;
  readonly trailers = NONE;
  #left: number;

  constructor(length: number) {
    this.#left = length;
  }

  get isDone(): boolean {
    return this.#left === 0;
  }

  feed(bytes: Buffer, at: number, onData: OnData): number {
    const end = Math.min(bytes.length, at + this.#left);
    if (end <= at) return at;
    this.#left -= end - at;
    onData(at === 0 && end === bytes.length ? bytes : bytes.subarray(at, end));
    return end;
  }
}

class RestDecoder implements BodyDecoder {
  readonly fault = undefined;
  readonly isDone = false;
  readonly endsWithConnection = true;
  readonly trailers = NONE;

  feed(bytes: Buffer, at: number, onData: OnData): number {
    if (at < bytes.length) onData(at === 0 ? bytes : bytes.subarray(at));
    return bytes.length;
  }
}
