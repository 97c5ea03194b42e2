/**
 * Splits a hijacked connection into its streams. Without a terminal the engine puts eight bytes before every piece: the stream's
 * number and the piece's length. Readers that stall stop the connection, so nothing is buffered without bound.
 */
import { type Duplex, Readable } from "node:stream";
import { ProtocolError } from "../base/errors.ts";
import type { EngineStream } from "./contract.ts";

const HEADER_BYTES = 8;
const LENGTH_AT = 4;
/** Numbers of the streams that carry output; 3 is the engine's own complaint. */
const STDOUT = 1;
const STDERR = 2;
const ENGINE = 3;

/** A connection of a terminal: what comes is stdout. */
export function rawStream(connection: Duplex): EngineStream {
  return {
    stdin: connection,
    stdout: connection,
    stderr: Readable.from([]),
    destroy: () => void connection.destroy(),
  };
}

/** A connection without a terminal. */
export function splitStream(connection: Duplex): EngineStream {
  const demultiplexer = new Demultiplexer(connection);
  return {
    stdin: connection,
    stdout: demultiplexer.stdout,
    stderr: demultiplexer.stderr,
    destroy: () => void connection.destroy(),
  };
}

class Demultiplexer {
  readonly stdout: Readable;
  readonly stderr: Readable;
  readonly #connection: Duplex;
  readonly #full = new Set<Readable>();
  #header: Buffer = Buffer.alloc(0);
  #left = 0;
  #target: Readable | undefined;

  constructor(connection: Duplex) {
    this.#connection = connection;
    this.stdout = this.#output();
    this.stderr = this.#output();
    connection.on("data", (chunk: Buffer) => this.#receive(chunk));
    connection.once("end", () => this.#end());
    connection.once("close", () => this.#end());
    connection.on("error", (error) => this.#fail(error));
  }

  #output(): Readable {
    const output: Readable = new Readable({
      read: () => {
        this.#full.delete(output);
        if (this.#full.size === 0) this.#connection.resume();
      },
      // Whoever gives one of the two up has no use for the connection.
      destroy: (error, done) => {
        if (!output.readableEnded) this.#connection.destroy();
        done(error);
      },
    });
    return output;
  }

  #receive(chunk: Buffer): void {
    let rest = chunk;
    while (rest.length > 0) {
      if (this.#left === 0) rest = this.#readHeader(rest);
      if (this.#target === undefined || this.#left === 0) continue;
      const piece = rest.subarray(0, this.#left);
      rest = rest.subarray(piece.length);
      this.#left -= piece.length;
      if (piece.length > 0 && !this.#target.push(piece)) this.#full.add(this.#target);
    }
    if (this.#full.size > 0) this.#connection.pause();
  }

  /** Takes what is missing of the header and returns the rest. */
  #readHeader(bytes: Buffer): Buffer {
    const taken = bytes.subarray(0, HEADER_BYTES - this.#header.length);
    this.#header = Buffer.concat([this.#header, taken]);
    const rest = bytes.subarray(taken.length);
    if (this.#header.length < HEADER_BYTES) return rest;
    const kind = this.#header[0];
    this.#left = this.#header.readUInt32BE(LENGTH_AT);
    this.#header = Buffer.alloc(0);
    this.#target = this.#streamOf(kind);
    if (this.#target !== undefined) return rest;
    this.#fail(new ProtocolError("protocol.frame", `the engine sent a piece of stream ${kind}`));
    return Buffer.alloc(0);
  }

  #streamOf(kind: number | undefined): Readable | undefined {
    if (kind === STDOUT) return this.stdout;
    return kind === STDERR || kind === ENGINE ? this.stderr : undefined;
  }

  #end(): void {
    for (const output of [this.stdout, this.stderr])
      if (!output.readableEnded && !output.destroyed && !output.closed) finish(output);
  }

  #fail(error: Error): void {
    this.#connection.destroy();
    for (const output of [this.stdout, this.stderr]) output.destroy(error);
  }
}

const finished = new WeakSet<Readable>();

/** `end` and `close` both come; a stream is ended once. */
function finish(output: Readable): void {
  if (finished.has(output)) return;
  finished.add(output);
  output.push(null);
}
