/**
 * Moves bytes between a descriptor that is not ours to close and a pipe, with back-pressure. The descriptor stays open and,
 * where it can be, untouched: its flags are shared with the operator's shell.
 */
import { constants, createReadStream, createWriteStream, openSync, type Stats } from "node:fs";
import { Socket } from "node:net";
import type { Readable, Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { messageOf, systemCode, UsageError } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";

export interface PumpOptions {
  /** Seen from the guest. */
  readonly direction: "in" | "out";
  readonly log: Logger;
}

/** One direction. Starts at once; `stop` ends it where it stands. */
export class Pump implements AsyncDisposable {
  readonly direction: "in" | "out";
  /** Settles when all is written and flushed, or it failed, or was stopped; never rejects. */
  readonly done: Promise<void>;
  #bytes = 0;
  #isStopped = false;
  #failure: unknown;
  readonly #source: Readable;
  readonly #sink: Writable;
  readonly #log: Logger;

  constructor(source: Readable, sink: Writable, options: PumpOptions) {
    this.#source = source;
    this.#sink = sink;
    this.#log = options.log;
    this.direction = options.direction;
    source.on("data", (chunk: Buffer) => {
      this.#bytes += chunk.length;
    });
    this.done = this.#run();
  }

  /** Bytes taken from the source. */
  get bytes(): number {
    return this.#bytes;
  }

  /** True while the receiver takes no more. */
  get isHeldBack(): boolean {
    return this.#sink.writableLength > 0;
  }

  /** Why bytes were lost; undefined when none were, or nobody wanted them (the receiver has gone). */
  get failure(): unknown {
    return systemCode(this.#failure) === "EPIPE" ? undefined : this.#failure;
  }

  stop(): void {
    this.#isStopped = true;
    this.#source.destroy();
    this.#sink.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.stop();
    await this.done;
  }

  async #run(): Promise<void> {
    try {
      await pipeline(this.#source, this.#sink, { end: false });
      await flush(this.#sink);
    } catch (error) {
      if (!this.#isStopped) this.#failure = error;
      this.#log.debug("relay ended", { direction: this.direction, error: messageOf(error) });
    } finally {
      this.#source.destroy();
      this.#sink.destroy();
    }
  }
}

/** Resolves when all that was written before has left. */
function flush(sink: Writable): Promise<void> {
  return new Promise((resolve, reject) => {
    sink.once("error", reject);
    sink.once("close", () => reject(new Error("closed before all was written")));
    sink.write("", (error) => (error ? reject(error) : resolve()));
  });
}

/** A stream that reads a borrowed descriptor. Throws UsageError `usage.path`. */
export function openSource(fd: number, info: Stats): Readable {
  if (!isStream(info)) return keepOpen(createReadStream("", { fd }));
  return openSocket(fd, info, "read");
}

/** A stream that writes a borrowed descriptor. Throws UsageError `usage.path`. */
export function openSink(fd: number, info: Stats): Writable {
  if (!isStream(info)) return keepOpen(createWriteStream("", { fd }));
  return openSocket(fd, info, "write");
}

const isStream = (info: Stats): boolean => info.isFIFO() || info.isSocket();

function openSocket(fd: number, info: Stats, mode: "read" | "write"): Socket {
  const own = info.isFIFO() ? reopen(fd, mode) : undefined;
  const direction = { readable: mode === "read", writable: mode === "write" };
  if (own !== undefined) return new Socket({ fd: own, ...direction });
  return keepOpen(openBorrowed(fd, direction));
}

/** A description of our own of the same pipe, because O_NONBLOCK would otherwise be seen by all who share it. */
function reopen(fd: number, mode: "read" | "write"): number | undefined {
  const access = mode === "read" ? constants.O_RDONLY : constants.O_WRONLY;
  try {
    return openSync(`/dev/fd/${fd}`, access | constants.O_NONBLOCK);
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    return undefined;
  }
}

function openBorrowed(fd: number, direction: { readable: boolean; writable: boolean }): Socket {
  try {
    return new Socket({ fd, ...direction });
  } catch (cause) {
    const message = `descriptor ${fd} cannot be passed on: ${systemCode(cause) ?? messageOf(cause)}`;
    throw new UsageError("usage.path", `${message}; a file, pipe or terminal is expected`, {
      cause,
    });
  }
}

/** Destroying such a stream stops it and leaves the descriptor open: a later file of ours must not become number 0, 1 or 2. */
function keepOpen<T extends Readable | Writable>(stream: T): T {
  stream._destroy = (error, callback) => {
    if (stream instanceof Socket) stream.pause().unref();
    callback(error);
  };
  return stream;
}
