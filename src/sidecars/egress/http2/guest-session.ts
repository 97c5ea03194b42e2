/**
 * A guest's connection that speaks HTTP/2: streams side by side, each judged by itself by the same steps as a request of
 * HTTP/1.1. Invariant: streams, header blocks, resets and pings are bounded; a flood ends the session.
 */
import type { ServerHttp2Session, ServerHttp2Stream } from "node:http2";
import type { TLSSocket } from "node:tls";
import { Malformed } from "../http1/fields.ts";
import { BODY_IDLE_MS, KEEP_ALIVE_MS } from "../http1/guest-connection.ts";
import { type Incoming, LINGER_MS, type Outgoing } from "../message.ts";
import type { Slots } from "../slots.ts";
import type { Limited, Sweeper } from "../sweeper.ts";
import { GuestStream, readRequest } from "./guest-stream.ts";
import { breakOff, GUEST_SESSION, http2 } from "./node-http2.ts";
import type { BodyWatch } from "./stream-body.ts";

/** What happens with streams. */
export interface StreamHandler {
  onRequest(incoming: Incoming, outgoing: Outgoing): void;
  onMalformed(why: string, outgoing: Outgoing): void;
}

export interface GuestSessionOptions {
  readonly socket: TLSSocket;
  readonly handler: StreamHandler;
  readonly sweeper: Sweeper;
  /** Places for the streams of all sessions. */
  readonly streams: Slots;
}

/** One session. */
export class GuestSession implements Limited {
  deadline = 0;
  readonly #options: GuestSessionOptions;
  readonly #session: ServerHttp2Session;
  #open = 0;

  constructor(options: GuestSessionOptions) {
    const { socket, sweeper } = options;
    this.#options = options;
    const session = http2().performServerHandshake(socket, GUEST_SESSION);
    this.#session = session;
    sweeper.add(this);
    this.deadline = sweeper.after(KEEP_ALIVE_MS);
    session.on("stream", (stream, _headers, flags, raw) => this.#onStream(stream, flags, raw));
    session.on("error", () => session.destroy());
    // The guest's connections may stay half open, and a session has nobody to talk to then.
    socket.once("end", () => session.destroy());
    session.on("close", () => {
      sweeper.delete(this);
      socket.destroy();
    });
  }

  /** Whether a stream is being answered. */
  get isBusy(): boolean {
    return this.#open > 0;
  }

  /** Takes no further stream. */
  retire(): void {
    this.#session.close();
  }

  expire(): void {
    this.#session.close();
  }

  #onStream(stream: ServerHttp2Stream, flags: number, raw: readonly string[]): void {
    const { handler, sweeper, streams } = this.#options;
    const leave = streams.take();
    if (leave === undefined) {
      // Not looked at: a client may send it once more (RFC 9113, 8.7).
      stream.on("error", () => stream.destroy());
      breakOff(stream, http2().constants.NGHTTP2_REFUSED_STREAM);
      return;
    }
    this.#open += 1;
    this.deadline = 0;
    const outgoing = new GuestStream(stream);
    const limit = new StreamLimit(stream, sweeper);
    stream.once("close", () => {
      this.#open -= 1;
      leave();
      sweeper.delete(limit);
      if (this.#open === 0) this.deadline = sweeper.after(KEEP_ALIVE_MS);
    });
    const isEnded = (flags & http2().constants.NGHTTP2_FLAG_END_STREAM) !== 0;
    // Of a request without a body nothing more comes, however long its answer takes.
    if (!isEnded) limit.onProgress();
    const incoming = readRequest(stream, { flat: raw, isEnded }, limit);
    if (incoming instanceof Malformed) handler.onMalformed(incoming.why, outgoing);
    else handler.onRequest(incoming, outgoing);
  }
}

/** Ends a stream whose body falls silent while somebody waits for it, or goes on when nobody does. */
class StreamLimit implements Limited, BodyWatch {
  deadline = 0;
  readonly #stream: ServerHttp2Stream;
  readonly #sweeper: Sweeper;
  #isCancelled = false;

  constructor(stream: ServerHttp2Stream, sweeper: Sweeper) {
    this.#stream = stream;
    this.#sweeper = sweeper;
    sweeper.add(this);
  }

  onProgress(): void {
    if (!this.#isCancelled) this.deadline = this.#sweeper.after(BODY_IDLE_MS);
  }

  onCancel(): void {
    this.#isCancelled = true;
    this.deadline = this.#sweeper.after(LINGER_MS);
    this.#stream.resume();
  }

  expire(): void {
    const { NGHTTP2_NO_ERROR, NGHTTP2_CANCEL } = http2().constants;
    if (this.#isCancelled) this.#stream.close(NGHTTP2_NO_ERROR);
    else if (!this.#stream.isPaused() && !this.#stream.readableEnded) {
      breakOff(this.#stream, NGHTTP2_CANCEL);
    }
  }
}
