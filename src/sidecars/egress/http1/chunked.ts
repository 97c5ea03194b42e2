/**
 * The chunked coding (RFC 9112, 7.1), strict: sizes are 1 to 8 hexadecimal digits, lines end in CR LF, extensions are bounded
 * and never passed on. Anything else ends the body with a fault.
 */
import type { HeaderList } from "../../../policy/headers.ts";
import type { BodyDecoder, OnData } from "./body-decoder.ts";
import { CR, HEX, LF, VALUE } from "./bytes.ts";
import { Malformed, parseFields } from "./fields.ts";

/** Bytes of extensions in one body; they mean nothing to anybody. */
export const MAX_EXTENSION_BYTES = 1024;
/** Bytes of trailers. */
export const MAX_TRAILER_BYTES: number = 8 * 1024;
const MAX_SIZE_DIGITS = 8;
const SEMICOLON = 0x3b;

type State = "size" | "extension" | "size-end" | "data" | "data-end" | "data-end-lf" | "trailer";

/** Decoder of one chunked body. */
export class ChunkedDecoder implements BodyDecoder {
  readonly endsWithConnection = false;
  fault: string | undefined;
  isDone = false;
  trailers: HeaderList = [];
  #state: State = "size";
  #size = 0;
  #digits = 0;
  #extensionBytes = 0;
  #trailer = "";

  feed(bytes: Buffer, from: number, onData: OnData): number {
    let at = from;
    while (at < bytes.length && !this.isDone && this.fault === undefined) {
      if (this.#state === "data") at = this.#data(bytes, at, onData);
      else if (this.#state === "trailer") at = this.#readTrailer(bytes, at);
      else {
        this.#step(bytes[at] ?? 0);
        at += 1;
      }
    }
    return at;
  }

  #data(bytes: Buffer, at: number, onData: OnData): number {
    const end = Math.min(bytes.length, at + this.#size);
    this.#size -= end - at;
    if (this.#size === 0) this.#state = "data-end";
    onData(bytes.subarray(at, end));
    return end;
  }

  /** One byte of what stands between the data of two chunks. */
  #step(byte: number): void {
    switch (this.#state) {
      case "size":
        return this.#sizeByte(byte);
      case "extension":
        return this.#extensionByte(byte);
      case "size-end":
        if (byte !== LF) return this.#fail("the line of a chunk's size does not end in CR LF");
        this.#state = this.#size === 0 ? "trailer" : "data";
        return undefined;
      case "data-end":
        if (byte !== CR) return this.#fail("a chunk is longer than its size");
        this.#state = "data-end-lf";
        return undefined;
      case "data-end-lf":
        if (byte !== LF) return this.#fail("a chunk does not end in CR LF");
        this.#begin();
        return undefined;
      case "data":
      case "trailer":
        return undefined;
    }
  }

  #begin(): void {
    this.#state = "size";
    this.#size = 0;
    this.#digits = 0;
  }

  #sizeByte(byte: number): void {
    const digit = HEX[byte] ?? -1;
    if (digit >= 0) {
      this.#digits += 1;
      this.#size = this.#size * 16 + digit;
      if (this.#digits > MAX_SIZE_DIGITS) this.#fail("the size of a chunk has too many digits");
      return;
    }
    if (this.#digits === 0) this.#fail("the size of a chunk is not a hexadecimal number");
    else if (byte === CR) this.#state = "size-end";
    else if (byte === SEMICOLON) this.#state = "extension";
    else this.#fail("the size of a chunk is not a hexadecimal number");
  }

  #extensionByte(byte: number): void {
    if (byte === CR) {
      this.#state = "size-end";
      return;
    }
    this.#extensionBytes += 1;
    if (VALUE[byte] !== 1) this.#fail("the extension of a chunk holds a control byte");
    else if (this.#extensionBytes > MAX_EXTENSION_BYTES) this.#fail("chunks have long extensions");
  }

  /** Trailers end with an empty line, and mostly are nothing else. */
  #readTrailer(bytes: Buffer, at: number): number {
    const before = this.#trailer.length;
    const room = MAX_TRAILER_BYTES + 1 - before;
    this.#trailer += bytes.toString("latin1", at, Math.min(bytes.length, at + room));
    const end = endOfTrailer(this.#trailer, before);
    if (end === undefined) {
      if (this.#trailer.length > MAX_TRAILER_BYTES) this.#fail("the trailers are too long");
      else if (/(?:^|[^\r])\n|\r[^\n]/.test(this.#trailer)) {
        this.#fail("a line of the trailers does not end in CR LF");
      }
      return bytes.length;
    }
    const fields = parseFields(this.#trailer.slice(0, Math.max(0, end - 2)), 0);
    if (fields instanceof Malformed) this.#fail(`in the trailers ${fields.why}`);
    else {
      this.trailers = fields.list;
      this.isDone = true;
    }
    return at + end - before;
  }

  #fail(why: string): void {
    this.fault = why;
  }
}

/** Place behind the empty line that ends trailers. */
function endOfTrailer(text: string, before: number): number | undefined {
  if (text.startsWith("\r\n")) return 2;
  const end = text.indexOf("\r\n\r\n", Math.max(0, before - 3));
  return end < 0 ? undefined : end + 4;
}
