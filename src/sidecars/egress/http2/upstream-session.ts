/** A session with an upstream that speaks HTTP/2. Invariant: it belongs to one authority, and no stream outlives its exchange. */
import type { ClientHttp2Session, ClientHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import { IDLE_KEPT_MS } from "../http1/upstream-connection.ts";
import type { AnswerReceiver, ForwardBody, ForwardHead, UpstreamLink } from "../message.ts";
import type { Limited, Sweeper } from "../sweeper.ts";
import { renderFields } from "./fields.ts";
import { http2, MAX_STREAMS, UPSTREAM_SESSION } from "./node-http2.ts";
import { UpstreamStream } from "./upstream-stream.ts";

/** Who keeps sessions. */
export interface SessionWatch {
  readonly sweeper: Sweeper;
  readonly onClosed: (session: UpstreamSession) => void;
  /** A stream has ended, and another may be opened. */
  readonly onRoom: (session: UpstreamSession) => void;
}

/** One session. */
export class UpstreamSession implements UpstreamLink, Limited {
  readonly version = "2";
  /** The upstream has said how many streams it takes, or is gone. */
  readonly ready: Promise<void>;
  deadline = 0;
  readonly #session: ClientHttp2Session;
  readonly #sweeper: Sweeper;
  readonly #watch: SessionWatch;
  #open = 0;
  #isReady = false;
  #isClosing = false;
  #used = 0;

  constructor(socket: Socket, host: string, watch: SessionWatch) {
    const { sweeper, onClosed } = watch;
    this.#sweeper = sweeper;
    this.#watch = watch;
    this.#session = http2().connect(`https://${host}`, {
      ...UPSTREAM_SESSION,
      createConnection: () => socket,
    });
    this.ready = new Promise((resolve) => {
      const isReady = (): void => {
        this.#isReady = true;
        resolve();
      };
      this.#session.once("remoteSettings", isReady).once("close", isReady);
    });
    sweeper.add(this);
    this.#touch();
    this.#session.on("error", () => this.#session.destroy());
    this.#session.on("goaway", () => this.close());
    this.#session.on("close", () => {
      this.#isClosing = true;
      sweeper.delete(this);
      onClosed(this);
    });
  }

  /** Whether it takes no further stream, whatever becomes of those that are open. */
  get isGone(): boolean {
    return this.#isClosing || this.#session.closed || this.#session.destroyed;
  }

  /** Whether another stream may be opened. */
  get hasRoom(): boolean {
    if (!this.#isReady || this.isGone) return false;
    const theirs = this.#session.remoteSettings.maxConcurrentStreams ?? MAX_STREAMS;
    return this.#open < Math.min(theirs, MAX_STREAMS);
  }

  send(head: ForwardHead, receiver: AnswerReceiver, whole: Buffer | undefined): ForwardBody {
    if (this.isGone) return failed(receiver);
    const hasBody = whole !== undefined || head.framing.kind === "stream" || lengthOf(head) > 0;
    const stream = this.#session.request(fieldsOf(head), { endStream: !hasBody });
    this.#follow(stream);
    const isFirst = this.#used === 0;
    this.#used += 1;
    const exchange = new UpstreamStream(stream, receiver, { isFirst, method: head.method });
    if (whole !== undefined) exchange.write(whole);
    if (whole !== undefined || !hasBody) exchange.end();
    return exchange;
  }

  /** Takes no further stream; those that are open end by themselves. */
  close(): void {
    this.#isClosing = true;
    this.#session.close();
  }

  expire(): void {
    this.close();
  }

  #follow(stream: ClientHttp2Stream): void {
    this.#open += 1;
    this.deadline = 0;
    stream.once("close", () => {
      this.#open -= 1;
      if (this.#open === 0) this.#touch();
      if (this.hasRoom) this.#watch.onRoom(this);
    });
  }

  #touch(): void {
    this.deadline = this.#sweeper.after(IDLE_KEPT_MS);
  }
}

/** It went between being handed out and being used: nothing was sent, so that the request may be sent another way. */
function failed(receiver: AnswerReceiver): ForwardBody {
  queueMicrotask(() => receiver.fail(new Error("the session was closed"), true));
  const ignored = (): void => undefined;
  return { write: () => true, flush: ignored, end: ignored, reset: ignored };
}

const lengthOf = ({ framing }: ForwardHead): number =>
  framing.kind === "length" ? framing.length : 0;

function fieldsOf(head: ForwardHead): ReturnType<typeof renderFields> {
  const { method, scheme, host, target, headers, framing, takesTrailers } = head;
  return {
    ":method": method,
    ":scheme": scheme,
    ":authority": host,
    ":path": target,
    ...renderFields(headers),
    ...(framing.kind === "length" && { "content-length": String(framing.length) }),
    ...(takesTrailers && { te: "trailers" }),
  };
}
