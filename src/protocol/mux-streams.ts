/**
 * The two ends of one byte stream of a channel, with credit: what is kept per stream is bounded by MAX_WINDOW_BYTES on either
 * side, whatever the peer sends and however small its frames are.
 */
import { Readable, Writable } from "node:stream";
import { ProtocolError } from "../base/errors.ts";
import { MAX_DATA_BYTES } from "./frame.ts";

/** Bytes of one stream that may be under way before a `window` frame gives credit: four full data frames. */
export const MAX_WINDOW_BYTES: number = 4 * MAX_DATA_BYTES;
/** Credit is given back in pieces of this size, so that a busy stream costs one extra frame per full data frame. */
const CREDIT_STEP_BYTES = MAX_DATA_BYTES;
/** Shorter payloads are copied together, so that a byte never keeps the large chunk alive that it came in. */
const COPY_BELOW_BYTES = MAX_DATA_BYTES / 2;
const BLOCK_BYTES = MAX_DATA_BYTES / 2;

/** Streams of a channel, by the frame kind that carries them. */
export type StreamKind = "stdin" | "stdout" | "stderr";

/** A queue of bytes whose memory is proportional to the bytes in it. */
export class ByteQueue {
  readonly #chunks: Buffer[] = [];
  #block: Buffer | undefined;
  #start = 0;
  #end = 0;
  #size = 0;

  /** Bytes in the queue. */
  get size(): number {
    return this.#size;
  }

  push(bytes: Buffer): void {
    this.#size += bytes.length;
    if (bytes.length >= COPY_BELOW_BYTES) {
      this.#seal();
      this.#chunks.push(bytes);
      return;
    }
    for (let rest = bytes; rest.length > 0; ) rest = this.#append(rest);
  }

  /** The next bytes in order, or undefined when there are none. */
  shift(): Buffer | undefined {
    const first = this.#chunks.shift() ?? this.#takeOpen();
    if (first !== undefined) this.#size -= first.length;
    return first;
  }

  #append(bytes: Buffer): Buffer {
    if (this.#block === undefined) {
      this.#block = Buffer.allocUnsafeSlow(BLOCK_BYTES);
      this.#start = 0;
      this.#end = 0;
    }
    const taken = bytes.copy(this.#block, this.#end);
    this.#end += taken;
    if (this.#end === BLOCK_BYTES) this.#seal();
    return bytes.subarray(taken);
  }

  #seal(): void {
    const open = this.#takeOpen();
    if (open !== undefined) this.#chunks.push(open);
    this.#block = undefined;
  }

  #takeOpen(): Buffer | undefined {
    if (this.#block === undefined || this.#start === this.#end) return undefined;
    const open = this.#block.subarray(this.#start, this.#end);
    this.#start = this.#end;
    return open;
  }
}

/** The receiving end. It asks for more only as its reader consumes; a reader that went away discards and never stalls the peer. */
export class InboundStream extends Readable {
  readonly #queue = new ByteQueue();
  readonly #giveCredit: (bytes: number) => void;
  #received = 0;
  #consumed = 0;
  #isWanted = false;
  #hasEnded = false;

  constructor(giveCredit: (bytes: number) => void) {
    // One chunk at a time: what waits lies in the queue above, where small chunks are joined.
    super({ highWaterMark: 1 });
    this.#giveCredit = giveCredit;
  }

  /** Takes a data frame. Throws {@link ProtocolError} when the peer had no credit for it or had ended the stream. */
  accept(payload: Buffer): void {
    if (this.#hasEnded)
      throw new ProtocolError("protocol.frame", "a data frame came after the end of its stream");
    if (payload.length === 0) {
      this.finish();
      return;
    }
    this.#received += payload.length;
    if (this.#received > MAX_WINDOW_BYTES) {
      throw new ProtocolError(
        "protocol.frame",
        `a stream has over ${MAX_WINDOW_BYTES} bytes under way; the credit is less`,
      );
    }
    if (this.destroyed) {
      this.#consume(payload.length);
      return;
    }
    this.#queue.push(payload);
    this.#flush();
  }

  /** No more will come: the reader gets what has arrived, then the end. */
  finish(): void {
    this.#hasEnded = true;
    this.#flush();
  }

  override _read(): void {
    this.#isWanted = true;
    this.#flush();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    for (let bytes = this.#queue.shift(); bytes !== undefined; bytes = this.#queue.shift())
      this.#consume(bytes.length);
    callback(error);
  }

  #flush(): void {
    while (this.#isWanted && this.#queue.size > 0) {
      const bytes = this.#queue.shift();
      if (bytes === undefined) break;
      this.#isWanted = this.push(bytes);
      this.#consume(bytes.length);
    }
    if (this.#hasEnded && this.#queue.size === 0 && !this.destroyed && !this.readableEnded)
      this.push(null);
  }

  #consume(count: number): void {
    this.#consumed += count;
    if (this.#consumed < CREDIT_STEP_BYTES || this.#hasEnded) return;
    this.#received -= this.#consumed;
    this.#giveCredit(this.#consumed);
    this.#consumed = 0;
  }
}

/** Where a sending end puts its frames. */
export interface StreamSink {
  /** False while the connection itself is full; the sink then calls {@link OutboundStream.pump} when it is not. */
  readonly canWrite: boolean;
  writeData(payload: Buffer): void;
  /** Asks to be pumped, in turn with the other streams. */
  wait(stream: OutboundStream): void;
}

/** The sending end: writes wait for credit of their stream and for room in the connection. */
export class OutboundStream extends Writable {
  readonly #sink: StreamSink;
  #credit = MAX_WINDOW_BYTES;
  #pending: Buffer | undefined;
  #onWritten: ((error?: Error | null) => void) | undefined;

  constructor(sink: StreamSink) {
    super({ highWaterMark: MAX_DATA_BYTES });
    this.#sink = sink;
  }

  /** Takes credit from the peer. Throws {@link ProtocolError} when it gives more than it took. */
  addCredit(bytes: number): void {
    this.#credit += bytes;
    if (bytes === 0 || this.#credit > MAX_WINDOW_BYTES) {
      throw new ProtocolError(
        "protocol.frame",
        `a window frame gives ${bytes} bytes; less is under way`,
      );
    }
    if (this.#pending !== undefined) this.#sink.wait(this);
  }

  /** Sends one frame of what waits. */
  pump(): void {
    const pending = this.#pending;
    if (pending === undefined || this.destroyed) return;
    const size = Math.min(pending.length, this.#credit, MAX_DATA_BYTES);
    if (size > 0) {
      this.#credit -= size;
      this.#pending = pending.subarray(size);
      this.#sink.writeData(pending.subarray(0, size));
    }
    if (size === pending.length) this.#settle();
    else if (this.#credit > 0) this.#sink.wait(this);
  }

  override _write(
    chunk: Buffer,
    _encoding: string,
    callback: (error?: Error | null) => void,
  ): void {
    this.#pending = chunk;
    this.#onWritten = callback;
    if (this.#sink.canWrite) this.pump();
    else this.#sink.wait(this);
  }

  override _final(callback: (error?: Error | null) => void): void {
    this.#sink.writeData(Buffer.alloc(0));
    callback();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#settle(
      error ?? new ProtocolError("protocol.closed", "not written: the channel is closed"),
    );
    callback(error);
  }

  #settle(error?: Error): void {
    const callback = this.#onWritten;
    this.#pending = undefined;
    this.#onWritten = undefined;
    callback?.(error);
  }
}
