/** One request of HTTP/2 to an upstream and its answer. */
import type { ClientHttp2Stream } from "node:http2";
import { Malformed } from "../http1/fields.ts";
import { UPSTREAM_IDLE_MS } from "../http1/upstream-connection.ts";
import {
  type AnswerReceiver,
  EMPTY_BODY,
  type ForwardBody,
  MAX_INTERIM,
  NO_BODY,
  REPEATABLE,
  STREAM_BODY,
} from "../message.ts";
import { lengthOf, readFields } from "./fields.ts";
import { breakOff, http2 } from "./node-http2.ts";
import { streamBody } from "./stream-body.ts";

export interface StreamFacts {
  /** The first stream of its session. */
  readonly isFirst: boolean;
  readonly method: string;
}

/** One exchange. */
export class UpstreamStream implements ForwardBody {
  readonly #stream: ClientHttp2Stream;
  readonly #receiver: AnswerReceiver;
  readonly #facts: StreamFacts;
  #error: Error | undefined;
  #interims = 0;
  #isAnswered = false;
  #isOver = false;
  readonly #isEndSeen: () => boolean;

  constructor(stream: ClientHttp2Stream, receiver: AnswerReceiver, facts: StreamFacts) {
    this.#stream = stream;
    this.#receiver = receiver;
    this.#facts = facts;
    this.#isEndSeen = watchEnd(stream);
    stream.setTimeout(UPSTREAM_IDLE_MS, () => this.#fail(new Error("no byte came for too long")));
    stream.on("drain", () => receiver.drain());
    stream.on("headers", (_headers, _flags, raw) => this.#interim(raw ?? []));
    stream.on("response", (_headers, flags, raw) => this.#answer(raw, flags));
    stream.on("error", (error: Error) => {
      this.#error = error;
    });
    stream.on("close", () => this.#closed());
  }

  write(chunk: Buffer): boolean {
    if (chunk.length === 0 || this.#stream.destroyed || this.#stream.writableEnded) return true;
    return this.#stream.write(chunk);
  }

  flush(): void {
    // The library gathers what is written.
  }

  end(): void {
    if (!this.#stream.writableEnded) this.#stream.end();
  }

  reset(): void {
    this.#isOver = true;
    // An exchange whose both messages are whole has nothing to reset.
    const isWhole = this.#stream.readableEnded && this.#stream.writableFinished;
    if (!isWhole) breakOff(this.#stream, http2().constants.NGHTTP2_CANCEL);
  }

  #interim(raw: readonly string[]): void {
    if (this.#isOver || this.#isAnswered) return;
    const fields = readFields(raw);
    this.#interims += 1;
    if (fields instanceof Malformed || this.#interims > MAX_INTERIM) {
      this.#fail(new Error("its interim answers are not as they should be"));
      return;
    }
    this.#receiver.interim(Number(fields.pseudo.get(":status")), fields.block.list);
  }

  #answer(raw: readonly string[], flags: number): void {
    if (this.#isOver) return;
    const fields = readFields(raw);
    const length = fields instanceof Malformed ? fields : lengthOf(fields.block);
    if (fields instanceof Malformed || length instanceof Malformed) {
      this.#fail(new Error("its answer is not HTTP/2 as it should be"));
      return;
    }
    this.#isAnswered = true;
    const status = Number(fields.pseudo.get(":status"));
    const isEnded = (flags & http2().constants.NGHTTP2_FLAG_END_STREAM) !== 0;
    const framing =
      length !== undefined
        ? ({ kind: "length", length } as const)
        : isEnded
          ? NO_BODY
          : STREAM_BODY;
    const onCancel = (): void => this.reset();
    const body = isEnded
      ? EMPTY_BODY
      : streamBody(this.#stream, length, {
          onProgress: () => undefined,
          onCancel,
          isEndSeen: this.#isEndSeen,
        });
    this.#receiver.answer({ status, reason: "", block: fields.block, framing }, body);
    if (isEnded) this.#stream.resume();
  }

  #closed(): void {
    if (this.#isOver || this.#isAnswered) return;
    const isRefused = this.#stream.rstCode === http2().constants.NGHTTP2_REFUSED_STREAM;
    const error = this.#error ?? new Error("the stream was closed");
    this.#isOver = true;
    const { isFirst, method } = this.#facts;
    const isStale = !isFirst && this.#error === undefined && REPEATABLE.has(method);
    // What was refused was not looked at (RFC 9113, 8.7).
    this.#receiver.fail(error, isRefused || isStale);
  }

  #fail(error: Error): void {
    if (this.#isOver) return;
    this.#isOver = true;
    breakOff(this.#stream, http2().constants.NGHTTP2_CANCEL);
    if (!this.#isAnswered) this.#receiver.fail(error, false);
  }
}

/**
 * Tells whether the other side ended its message itself. The library ends what can be read also when a stream is reset
 * without an error, but then the stream is closed already.
 */
function watchEnd(stream: ClientHttp2Stream): () => boolean {
  let isSeen = false;
  const push = stream.push.bind(stream);
  stream.push = (chunk: unknown, encoding?: BufferEncoding): boolean => {
    if (chunk === null && !stream.closed) isSeen = true;
    return push(chunk, encoding);
  };
  return () => isSeen;
}
