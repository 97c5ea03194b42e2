/**
 * One HTTP exchange, whatever version carries it: what the framer of HTTP/1.1 and the sessions of HTTP/2 give, and all that
 * judging and forwarding ever see. Invariant: names are tokens, values hold no control bytes, and a body has one length.
 */
import type { Socket } from "node:net";
import type { HeaderList } from "../../policy/headers.ts";
import type { HeaderBlock } from "./header-block.ts";

/** Versions that a side may speak. */
export type HttpVersion = "1.0" | "1.1" | "2";

/** How long a body is; `stream` ends when it ends. */
export type Framing =
  | { readonly kind: "none" }
  | { readonly kind: "length"; readonly length: number }
  | { readonly kind: "stream" };

/** No body. */
export const NO_BODY: Framing = { kind: "none" };
/** A body that tells its end itself. */
export const STREAM_BODY: Framing = { kind: "stream" };

/** Interim answers to one request: servers send one or two, and each would be judged and passed on. */
export const MAX_INTERIM = 16;
/** Time a guest gets to read an answer while it is still sending: closing with unread bytes would take the answer away. */
export const LINGER_MS = 2_000;

/** Why a body did not come to its end. */
export class BodyFault extends Error {
  /** `malformed`: its framing is wrong. `aborted`: the sender went away. `slow`: it fell silent. */
  readonly kind: "malformed" | "aborted" | "slow";

  constructor(kind: BodyFault["kind"], message: string) {
    super(message);
    this.kind = kind;
  }
}

/** Takes a body. Every call but `data` may be the last one. */
export interface BodySink {
  /** Takes bytes, which stay as they are. False asks for silence until the source is resumed. */
  data(chunk: Buffer): boolean;
  /** No more bytes are at hand: what was gathered should go out. */
  flush(): void;
  end(trailers: HeaderList): void;
  /** The body broke off; nothing follows. */
  fail(fault: BodyFault): void;
}

/** Gives a body, at the pace of its sink. Nothing is read before the first sink is there. */
export interface BodySource {
  /** Lets the body flow; a later call replaces the sink. */
  flow(sink: BodySink): void;
  /** Halts the flow: nothing is given until it is resumed. */
  pause(): void;
  resume(): void;
  /** Nobody wants the rest: what still comes is thrown away, or its stream is reset. */
  cancel(): void;
}

/** A body without bytes. */
export const EMPTY_BODY: BodySource = {
  flow: (sink) => sink.end([]),
  pause: () => undefined,
  resume: () => undefined,
  cancel: () => undefined,
};

/** A request as the guest sent it. */
export interface Incoming {
  readonly version: HttpVersion;
  readonly method: string;
  /** `/path?query`, `http://host/path`, or what else was sent. */
  readonly target: string;
  /** Every name that the message gives to its server: Host of HTTP/1.1, `:authority` and Host of HTTP/2. */
  readonly hosts: readonly string[];
  readonly block: HeaderBlock;
  readonly framing: Framing;
  /** The guest waits for leave to send its body. */
  readonly expectsContinue: boolean;
  readonly body: BodySource;
}

/** Beginning of an answer, without headers of the connection or of framing. */
export interface AnswerHead {
  readonly status: number;
  readonly reason: string;
  readonly headers: HeaderList;
  /** The same headers as lines of HTTP/1.1, where somebody has made them already. */
  readonly lines?: string | undefined;
  /** Of an answer to HEAD, what the body would have. */
  readonly framing: Framing;
}

/** A connection that speaks something else than HTTP from now on, and what was read of that already. */
export interface Switched {
  readonly socket: Socket;
  readonly rest: Buffer | undefined;
}

/** Beginning of an answer as an upstream sent it. */
export interface ReceivedHead {
  readonly status: number;
  readonly reason: string;
  readonly block: HeaderBlock;
  readonly framing: Framing;
}

/** Where the answer to one request goes. After `end` or `reset` every call but a second one of these is a fault. */
export interface Outgoing {
  readonly isHeadSent: boolean;
  /** The answer is whole, or the guest is gone. */
  readonly isOver: boolean;
  /** Sends an interim answer (100, 103). */
  interim(status: number, headers: HeaderList): void;
  /** Gives the head; it goes out with the first bytes behind it, or with `flush`. */
  head(head: AnswerHead): void;
  /** Gives bytes of the body. False asks for silence until `onDrain`. */
  write(chunk: Buffer): boolean;
  flush(): void;
  end(trailers: HeaderList): void;
  /** Ends the exchange so that it cannot pass for whole. */
  reset(): void;
  /** Answers an upgrade and lets the connection go; undefined where a connection carries more than one exchange. */
  switchProtocols(headers: HeaderList): Switched | undefined;
  /** Takes no further request on this connection. */
  closeAfter(): void;
  onDrain: (() => void) | undefined;
  /** The guest went away before the answer was whole. */
  onGone: (() => void) | undefined;
  /** The exchange is over, one way or another; called once. */
  onOver: (() => void) | undefined;
}

/** A request as it is sent on, in canonical form. */
export interface ForwardHead {
  readonly method: string;
  readonly scheme: "http" | "https";
  /** Value of Host or `:authority`. */
  readonly host: string;
  readonly target: string;
  /** Without Host, framing and those of the connection. */
  readonly headers: HeaderList;
  /** The same headers as lines of HTTP/1.1, where somebody has made them already. */
  readonly lines?: string | undefined;
  readonly framing: Framing;
  /** The guest understands trailers of an answer. */
  readonly takesTrailers: boolean;
  /** Asks to switch to WebSocket. */
  readonly isUpgrade: boolean;
}

/** Takes the answer of an upstream. */
export interface AnswerReceiver {
  interim(status: number, headers: HeaderList): void;
  /** The body must be made to flow before this returns, or be cancelled. */
  answer(head: ReceivedHead, body: BodySource): void;
  /** The upstream agreed to switch; the connection is the receiver's. */
  switched(answer: HeaderBlock, upstream: Switched): void;
  /** There will be no answer. `isStale`: a reused connection broke, and the request may be sent once more. */
  fail(error: Error, isStale: boolean): void;
  /** The request's body may go on. */
  drain(): void;
}

/** The body of a request on its way to an upstream. */
export interface ForwardBody {
  /** False asks for silence until the receiver's `drain`. */
  write(chunk: Buffer): boolean;
  flush(): void;
  /** Trailers of a request go no further: few servers read them, and some take them for headers. */
  end(): void;
  /** Breaks the exchange off: neither side may take it for whole. */
  reset(): void;
}

/** Methods of requests that may be sent once more where nobody knows whether they arrived. */
export const REPEATABLE: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS"]);

/** A connection or session to an upstream. */
export interface UpstreamLink {
  readonly version: "1.1" | "2";
  /** Starts one exchange; `whole` is a body that is there already. */
  send(head: ForwardHead, receiver: AnswerReceiver, whole: Buffer | undefined): ForwardBody;
}
