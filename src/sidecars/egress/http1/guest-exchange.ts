/** One request of HTTP/1.1 and its answer on the guest's side. */
import type { HeaderList } from "../../../policy/headers.ts";
import { NO_HEADERS } from "../header-block.ts";
import {
  type AnswerHead,
  BodyFault,
  type BodySource,
  EMPTY_BODY,
  type Incoming,
  type Outgoing,
  type Switched,
} from "../message.ts";
import { type BodyDecoder, createDecoder } from "./body-decoder.ts";
import { BodyStream, type Tap } from "./body-stream.ts";
import { type RequestHead, staysOpen } from "./head.ts";
import { type Coding, lines, type MessageWriter } from "./writer.ts";

/** What an exchange does to its connection. */
export interface ExchangeHost extends Tap {
  readonly writer: MessageWriter;
  /** The answer is out; the connection goes on with the next request, or closes. */
  answered(exchange: GuestExchange): void;
  /** Cuts the connection. */
  cut(): void;
  /** Lets the connection go, with what was read behind the request. */
  release(): Switched;
}

/** Stands for a request whose head could not be read. */
export const UNREADABLE: RequestHead = {
  method: "",
  target: "",
  version: "1.1",
  block: NO_HEADERS,
  framing: { kind: "none" },
};

/** One exchange; its two sides end independently. */
export class GuestExchange implements Outgoing {
  readonly incoming: Incoming;
  isHeadSent = false;
  isOver = false;
  keepsOpen: boolean;
  onDrain: (() => void) | undefined;
  onGone: (() => void) | undefined;
  onOver: (() => void) | undefined;
  readonly #host: ExchangeHost;
  readonly #head: RequestHead;
  readonly #decoder: BodyDecoder | undefined;
  readonly #body: BodyStream | undefined;
  readonly #onData: ((chunk: Buffer) => void) | undefined;

  constructor(head: RequestHead, host: ExchangeHost) {
    const { method, target, version, block, framing } = head;
    this.#host = host;
    this.#head = head;
    this.keepsOpen = staysOpen(head);
    const hasBody = framing.kind === "stream" || (framing.kind === "length" && framing.length > 0);
    this.#decoder = hasBody ? createDecoder(framing) : undefined;
    this.#body = hasBody ? new BodyStream(host) : undefined;
    const stream = this.#body;
    this.#onData = stream && ((chunk) => stream.push(chunk));
    const body: BodySource = stream ?? EMPTY_BODY;
    const hosts = block.values("host");
    const expectsContinue = hasBody && version === "1.1" && block.has("expect");
    this.incoming = { version, method, target, hosts, block, framing, expectsContinue, body };
  }

  /** Whether the request's body is still coming. */
  get isBodyOpen(): boolean {
    return this.#body?.hasEnded === false;
  }

  /** Takes bytes of the connection from `at` on; gives the place behind what belongs to this request. */
  feed(bytes: Buffer, from: number): number {
    const decoder = this.#decoder;
    if (decoder === undefined || this.#body === undefined || this.#onData === undefined)
      return from;
    const at = decoder.feed(bytes, from, this.#onData);
    if (decoder.fault !== undefined) this.breakBody("malformed", decoder.fault);
    else if (decoder.isDone) this.#body.finish(decoder.trailers);
    this.#body.settle();
    return at;
  }

  /** Ends the request's body before its end. */
  breakBody(kind: BodyFault["kind"], why: string): void {
    this.keepsOpen = false;
    this.#body?.break(new BodyFault(kind, why));
  }

  /** The guest went away. */
  gone(): void {
    if (this.isOver) return;
    this.isOver = true;
    this.onGone?.();
    this.breakBody("aborted", "the connection was closed");
    this.onOver?.();
  }

  interim(status: number, headers: HeaderList): void {
    if (this.isOver || this.isHeadSent || this.#head.version !== "1.1") return;
    const reason = INTERIM_REASONS[status] ?? "Interim";
    this.#host.writer.interim(`HTTP/1.1 ${status} ${reason}\r\n${lines(headers)}\r\n`);
  }

  head(head: AnswerHead): void {
    this.isHeadSent = true;
    // Who answers before the end of a request cannot count on the rest of it.
    if (this.isBodyOpen) this.keepsOpen = false;
    const isBodyless = this.#head.method === "HEAD" || head.status === 304 || head.status === 204;
    const coding = isBodyless ? NO_CODING : this.#codingOf(head);
    if (coding.kind === "rest") this.keepsOpen = false;
    const framing = isBodyless ? bodylessFraming(head) : framingLine(coding);
    const close = this.keepsOpen ? "" : "Connection: close\r\n";
    const text = `HTTP/1.1 ${head.status} ${head.reason}\r\n${head.lines ?? lines(head.headers)}${framing}${close}\r\n`;
    this.#host.writer.begin(text, coding);
  }

  #codingOf({ framing }: AnswerHead): Coding {
    if (framing.kind === "length") return framing;
    if (framing.kind === "none") return EMPTY_CODING;
    return this.#head.version === "1.1" ? CHUNKED : REST;
  }

  write(chunk: Buffer): boolean {
    return this.isOver || this.#host.writer.write(chunk);
  }

  flush(): void {
    if (!this.isOver) this.#host.writer.flush();
  }

  end(trailers: HeaderList): void {
    if (this.isOver) return;
    this.isOver = true;
    const wantsTrailers = trailers.length > 0 && this.#head.block.tokens("te").includes("trailers");
    if (this.#host.writer.end(wantsTrailers ? trailers : [])) this.#host.answered(this);
    this.onOver?.();
  }

  reset(): void {
    if (this.isOver) return;
    this.isOver = true;
    this.#host.writer.abandon();
    this.#host.cut();
    this.onOver?.();
  }

  switchProtocols(headers: HeaderList): Switched | undefined {
    if (this.isOver) return undefined;
    this.isHeadSent = true;
    this.isOver = true;
    this.#host.writer.interim(`HTTP/1.1 101 Switching Protocols\r\n${lines(headers)}\r\n`);
    const switched = this.#host.release();
    this.onOver?.();
    return switched;
  }

  closeAfter(): void {
    this.keepsOpen = false;
  }
}

const NO_CODING: Coding = { kind: "none" };
const EMPTY_CODING: Coding = { kind: "length", length: 0 };
const CHUNKED: Coding = { kind: "chunked" };
const REST: Coding = { kind: "rest" };

const INTERIM_REASONS: Readonly<Record<number, string>> = {
  100: "Continue",
  102: "Processing",
  103: "Early Hints",
};

function framingLine(coding: Coding): string {
  switch (coding.kind) {
    case "length":
      return `Content-Length: ${coding.length}\r\n`;
    case "chunked":
      return "Transfer-Encoding: chunked\r\n";
    case "none":
    case "rest":
      return "";
  }
}

/** What the body would have been is information, where there is none. */
function bodylessFraming({ status, framing }: AnswerHead): string {
  if (status === 204 || framing.kind === "none") return "";
  return framing.kind === "length" ? framingLine(framing) : framingLine(CHUNKED);
}
