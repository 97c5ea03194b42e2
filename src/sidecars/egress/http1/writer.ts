/**
 * Writes messages of HTTP/1.1, gathered so that what is at hand at one time leaves in one write. Invariant: the bytes of a
 * body are as many as its head says, or the connection is cut.
 */
import type { Socket } from "node:net";
import type { HeaderList } from "../../../policy/headers.ts";

/** How a body is written; `rest` ends with the connection. */
export type Coding =
  | { readonly kind: "none" }
  | { readonly kind: "length"; readonly length: number }
  | { readonly kind: "chunked" }
  | { readonly kind: "rest" };

/** Bytes gathered before they go out without being asked to. */
const MAX_GATHERED_BYTES: number = 64 * 1024;
/** Up to this size one copy is cheaper than another record and another write. */
const MAX_COPIED_BYTES: number = 32 * 1024;

/** Writer of one connection, one message after another. */
export class MessageWriter {
  readonly #socket: Socket;
  /** Head, or the rest of a chunk, that stands before the gathered bytes. */
  #text = "";
  #chunks: Buffer[] = [];
  #size = 0;
  #coding: Coding["kind"] = "none";
  #left = 0;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  /** Gives the head of a message, with its empty line. */
  begin(head: string, coding: Coding): void {
    this.#text += head;
    this.#coding = coding.kind;
    this.#left = coding.kind === "length" ? coding.length : 0;
  }

  /** Gives a whole interim message. */
  interim(head: string): void {
    this.flush();
    this.#socket.write(head, "latin1");
  }

  /** Gives bytes of the body. False when the other side does not keep up. */
  write(chunk: Buffer): boolean {
    if (chunk.length === 0 || this.#coding === "none") return true;
    if (this.#coding === "length") {
      this.#left -= chunk.length;
      if (this.#left < 0) return this.#cut();
    }
    this.#chunks.push(chunk);
    this.#size += chunk.length;
    if (this.#size >= MAX_GATHERED_BYTES) this.flush();
    return !this.#socket.writableNeedDrain;
  }

  /** Lets out what was gathered. */
  flush(): void {
    if (this.#text === "" && this.#size === 0) return;
    if (this.#coding === "chunked" && this.#size > 0) this.#send(`${hex(this.#size)}\r\n`, "\r\n");
    else this.#send("", "");
  }

  /** Lets out what was gathered of a message that will have no end; not where nobody could tell that it has none. */
  abandon(): void {
    if (this.#coding !== "rest") this.flush();
  }

  /** Ends the message. False when its body is shorter than its head says: then the connection is cut. */
  end(trailers: HeaderList): boolean {
    if (this.#coding === "length" && this.#left > 0) return this.#cut();
    if (this.#coding !== "chunked") this.flush();
    else if (this.#size > 0)
      this.#send(`${hex(this.#size)}\r\n`, `\r\n0\r\n${lines(trailers)}\r\n`);
    else this.#send(`0\r\n${lines(trailers)}\r\n`, "");
    this.#coding = "none";
    return true;
  }

  #cut(): boolean {
    this.#chunks = [];
    this.#size = 0;
    this.#socket.destroy();
    return false;
  }

  /** Writes everything with `before` and `after` around the gathered bytes. */
  #send(before: string, after: string): void {
    const text = this.#text + before;
    const chunks = this.#chunks;
    const size = this.#size;
    this.#text = "";
    this.#size = 0;
    if (size === 0) {
      this.#socket.write(text + after, "latin1");
      return;
    }
    this.#chunks = [];
    const [only] = chunks;
    if (text === "" && after === "" && chunks.length === 1 && only !== undefined) {
      this.#socket.write(only);
    } else if (size <= MAX_COPIED_BYTES) {
      this.#socket.write(joined({ text, chunks, after }, text.length + size + after.length));
    } else this.#sendParts(text, chunks, after);
  }

  #sendParts(text: string, chunks: readonly Buffer[], after: string): void {
    this.#socket.cork();
    if (text !== "") this.#socket.write(text, "latin1");
    for (const chunk of chunks) this.#socket.write(chunk);
    if (after !== "") this.#socket.write(after, "latin1");
    this.#socket.uncork();
  }
}

interface Parts {
  readonly text: string;
  readonly chunks: readonly Buffer[];
  readonly after: string;
}

function joined({ text, chunks, after }: Parts, size: number): Buffer {
  const bytes = Buffer.allocUnsafe(size);
  let at = bytes.write(text, 0, "latin1");
  for (const chunk of chunks) at += chunk.copy(bytes, at);
  bytes.write(after, at, "latin1");
  return bytes;
}

const hex = (size: number): string => size.toString(16);

/** Header lines as text. */
export function lines(headers: HeaderList): string {
  let text = "";
  for (const [name, value] of headers) text += `${name}: ${value}\r\n`;
  return text;
}
