/** A body on its way from a connection to its sink. What comes while the sink is silent waits here, at most one read's worth. */
import type { HeaderList } from "../../../policy/headers.ts";
import type { BodyFault, BodySink, BodySource } from "../message.ts";

/** What a body does to the connection that it comes from. */
export interface Tap {
  pause(): void;
  resume(): void;
  /** The rest is not wanted. */
  discard(): void;
}

type End = { readonly trailers: HeaderList } | { readonly fault: BodyFault };

/** One body. */
export class BodyStream implements BodySource {
  readonly #tap: Tap;
  #sink: BodySink | undefined;
  #waiting: Buffer[] = [];
  #end: End | undefined;
  #isPaused = false;
  #isCancelled = false;
  #isClosed = false;

  constructor(tap: Tap) {
    this.#tap = tap;
  }

  /** Whether its end, good or bad, has come from the connection. */
  get hasEnded(): boolean {
    return this.#end !== undefined;
  }

  /** Bytes from the connection. */
  push(chunk: Buffer): void {
    if (this.#isCancelled) return;
    if (this.#sink === undefined || this.#isPaused) {
      this.#waiting.push(chunk);
      this.#tap.pause();
    } else if (!this.#sink.data(chunk)) this.pause();
  }

  /** The connection has given all that it had at hand. */
  settle(): void {
    if (!this.#isCancelled && !this.#isClosed) this.#sink?.flush();
  }

  finish(trailers: HeaderList): void {
    this.#close({ trailers });
  }

  break(fault: BodyFault): void {
    this.#close({ fault });
  }

  flow(sink: BodySink): void {
    this.#sink = sink;
    this.#isPaused = false;
    this.#drain();
  }

  pause(): void {
    if (this.#isPaused) return;
    this.#isPaused = true;
    if (this.#end === undefined) this.#tap.pause();
  }

  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#drain();
  }

  cancel(): void {
    if (this.#isCancelled) return;
    this.#isCancelled = true;
    this.#waiting = [];
    if (this.#end === undefined) this.#tap.discard();
  }

  #close(end: End): void {
    if (this.#end !== undefined) return;
    this.#end = end;
    if (!this.#isPaused && this.#waiting.length === 0) this.#deliver();
  }

  #drain(): void {
    const sink = this.#sink;
    const isLate = this.#waiting.length > 0;
    while (sink !== undefined && !this.#isPaused && !this.#isCancelled) {
      const chunk = this.#waiting.shift();
      if (chunk === undefined) {
        if (this.#end === undefined) this.#tap.resume();
        else this.#deliver();
        break;
      }
      // The sink may be replaced by what it was just given.
      if (!(this.#sink ?? sink).data(chunk)) this.#isPaused = true;
    }
    // What comes with the rest of a read is let out at its end.
    if (isLate) this.settle();
  }

  #deliver(): void {
    const sink = this.#sink;
    if (sink === undefined || this.#end === undefined || this.#isClosed || this.#isCancelled)
      return;
    this.#isClosed = true;
    if ("trailers" in this.#end) sink.end(this.#end.trailers);
    else sink.fail(this.#end.fault);
  }
}
