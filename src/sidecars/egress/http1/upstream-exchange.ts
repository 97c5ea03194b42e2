/** One request of HTTP/1.1 to an upstream and its answer. */
import type { Socket } from "node:net";
import type { HeaderList } from "../../../policy/headers.ts";
import {
  type AnswerReceiver,
  BodyFault,
  type BodySource,
  EMPTY_BODY,
  type ForwardBody,
  type ForwardHead,
  type Framing,
  MAX_INTERIM,
  REPEATABLE,
  STREAM_BODY,
} from "../message.ts";
import { type BodyDecoder, createDecoder } from "./body-decoder.ts";
import { BodyStream } from "./body-stream.ts";
import { Malformed } from "./fields.ts";
import { answerFraming, parseStatusHead, type StatusHead, staysOpen } from "./head.ts";
import type { HeadBuffer, TakenHead } from "./head-buffer.ts";
import { type Coding, lines, type MessageWriter } from "./writer.ts";

/** A body that is there already goes out in pieces of this size: a large one at once would be copied whole, several times. */
const PIECE_BYTES: number = 64 * 1024;

/** What an exchange does to its connection. */
export interface UpstreamHost {
  readonly socket: Socket;
  readonly writer: MessageWriter;
  /** Empty between exchanges. */
  readonly heads: HeadBuffer;
  /** The first exchange of its connection. */
  readonly isFirst: boolean;
  /** Both messages are over; called once. */
  over(isReusable: boolean): void;
  /** Something came. */
  touch(): void;
  /** Lets the connection go. */
  release(): Socket;
}

/** One exchange. */
export class UpstreamExchange implements ForwardBody {
  readonly #host: UpstreamHost;
  readonly #receiver: AnswerReceiver;
  readonly #method: string;
  readonly #isUpgrade: boolean;
  readonly #writer: MessageWriter;
  readonly #heads: HeadBuffer;
  #decoder: BodyDecoder | undefined;
  #body: BodyStream | undefined;
  #interims = 0;
  #hasByte = false;
  #isAnswered = false;
  #isSent = false;
  /** What is left of a body that was given whole. */
  #rest: Buffer | undefined;
  #isReusable = true;
  #isOver = false;

  constructor(head: ForwardHead, receiver: AnswerReceiver, host: UpstreamHost) {
    this.#host = host;
    this.#receiver = receiver;
    this.#method = head.method;
    this.#isUpgrade = head.isUpgrade;
    this.#writer = host.writer;
    this.#heads = host.heads;
  }

  /** Sends the head, and the body where it is there already. */
  begin(head: ForwardHead, whole: Buffer | undefined): void {
    const { method, target, host, headers, framing } = head;
    const fields = head.lines ?? lines(headers);
    const coding = codingOf(framing);
    const text = `${method} ${target} HTTP/1.1\r\nHost: ${host}\r\n${fields}${framingLine(framing)}${connectionLines(head)}\r\n`;
    this.#writer.begin(text, coding);
    if (whole !== undefined) this.#sendRest(whole);
    else if (framing.kind === "none") this.end();
  }

  #sendRest(whole: Buffer): void {
    let rest = whole;
    let hasRoom = true;
    while (rest.length > 0 && hasRoom && !this.#isOver) {
      hasRoom = this.write(rest.subarray(0, PIECE_BYTES));
      if (rest.length > PIECE_BYTES) this.#writer.flush();
      rest = rest.subarray(PIECE_BYTES);
    }
    this.#rest = rest.length > 0 ? rest : undefined;
    if (this.#rest === undefined) this.end();
  }

  write(chunk: Buffer): boolean {
    if (this.#isOver || this.#isSent) return true;
    this.#host.touch();
    return this.#writer.write(chunk);
  }

  flush(): void {
    if (!this.#isOver) this.#writer.flush();
  }

  end(): void {
    if (this.#isSent || this.#isOver) return;
    this.#isSent = true;
    this.#writer.end([]);
    if (this.#isAnswered) this.#finish();
  }

  reset(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#body?.break(new BodyFault("aborted", "the exchange was broken off"));
    this.#host.over(false);
  }

  onDrain(): void {
    if (this.#rest !== undefined) this.#sendRest(this.#rest);
    else if (!this.#isSent) this.#receiver.drain();
  }

  /** Takes bytes of the connection. */
  feed(chunk: Buffer): void {
    this.#hasByte = true;
    this.#host.touch();
    let rest: Buffer | undefined = chunk;
    while (rest !== undefined && rest.length > 0 && !this.#isOver) {
      if (this.#decoder !== undefined) {
        this.#feedBody(this.#decoder, rest);
        return;
      }
      if (this.#isAnswered) {
        // Behind a whole answer whose request is still on its way: too many bytes.
        this.#isReusable = false;
        return;
      }
      const taken = this.#heads.take(rest);
      if (taken === undefined) return;
      if (taken instanceof Malformed) return this.#malformed(taken.why);
      rest = this.#takeHead(taken);
    }
    if (!this.#isOver) this.#body?.settle();
  }

  /** The upstream ended its direction; true when that ends the answer. */
  endsHere(): boolean {
    if (this.#decoder?.endsWithConnection !== true) return false;
    this.#isReusable = false;
    this.#answerEnds(this.#decoder.trailers);
    return true;
  }

  /** The connection is gone. */
  broken(error: Error): void {
    if (this.#isOver) return;
    this.#isOver = true;
    if (this.#body !== undefined) this.#body.break(new BodyFault("aborted", error.message));
    else if (!this.#isAnswered) this.#receiver.fail(error, this.#isStale());
  }

  /** What was written may have arrived, whatever became of the connection. */
  #isStale(): boolean {
    return !this.#host.isFirst && !this.#hasByte && REPEATABLE.has(this.#method);
  }

  #takeHead({ text, rest }: TakenHead): Buffer | undefined {
    const head = parseStatusHead(text);
    if (head instanceof Malformed) return this.#malformed(head.why);
    if (head.status < 200) return this.#interim(head, rest);
    const framing = answerFraming(head, this.#method);
    if (framing instanceof Malformed) return this.#malformed(framing.why);
    this.#isReusable = staysOpen(head) && framing !== undefined;
    const hasBody = this.#hasBody(head, framing);
    if (!hasBody) this.#answeredBare(rest);
    const body = hasBody ? this.#openBody(framing) : EMPTY_BODY;
    const { status, reason, block } = head;
    this.#receiver.answer({ status, reason, block, framing: framing ?? STREAM_BODY }, body);
    return hasBody ? rest : undefined;
  }

  #answeredBare(rest: Buffer | undefined): void {
    this.#isAnswered = true;
    if (rest !== undefined) this.#isReusable = false;
    if (this.#isSent) this.#finish();
  }

  #hasBody({ status }: StatusHead, framing: Framing | undefined): boolean {
    if (this.#method === "HEAD" || status === 304 || framing?.kind === "none") return false;
    return framing?.kind !== "length" || framing.length > 0;
  }

  #openBody(framing: Framing | undefined): BodySource {
    this.#decoder = createDecoder(framing);
    const { socket } = this.#host;
    this.#body = new BodyStream({
      pause: () => void socket.pause(),
      resume: () => void socket.resume(),
      discard: () => this.reset(),
    });
    return this.#body;
  }

  #interim(head: StatusHead, rest: Buffer | undefined): Buffer | undefined {
    this.#interims += 1;
    if (head.status === 101) return this.#switch(head, rest);
    if (this.#interims > MAX_INTERIM) return this.#malformed("it sends no end of interim answers");
    this.#receiver.interim(head.status, head.block.list);
    return rest;
  }

  #switch({ block }: StatusHead, rest: Buffer | undefined): undefined {
    if (!this.#isUpgrade) return this.#malformed("it switches protocols without being asked to");
    this.#isOver = true;
    this.#receiver.switched(block, { socket: this.#host.release(), rest });
    return undefined;
  }

  readonly #onBodyData = (chunk: Buffer): void => this.#body?.push(chunk);

  #feedBody(decoder: BodyDecoder, bytes: Buffer): void {
    const at = decoder.feed(bytes, 0, this.#onBodyData);
    if (this.#isOver) return;
    if (decoder.fault !== undefined) {
      this.#isOver = true;
      this.#body?.break(new BodyFault("malformed", decoder.fault));
      this.#host.over(false);
    } else if (decoder.isDone) {
      if (at < bytes.length) this.#isReusable = false;
      this.#answerEnds(decoder.trailers);
    } else this.#body?.settle();
  }

  #answerEnds(trailers: HeaderList): void {
    const body = this.#body;
    this.#isAnswered = true;
    this.#decoder = undefined;
    if (this.#isSent) this.#finish();
    body?.finish(trailers);
    body?.settle();
  }

  /** The connection is free before the answer's end is told, so that the next request finds it. */
  #finish(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#host.over(this.#isReusable);
  }

  #malformed(why: string): undefined {
    if (this.#isOver) return undefined;
    this.#isOver = true;
    this.#receiver.fail(new Error(`its answer is not HTTP/1.1 as it should be: ${why}`), false);
    this.#host.over(false);
    return undefined;
  }
}

function connectionLines({ isUpgrade }: ForwardHead): string {
  return isUpgrade ? "Connection: Upgrade\r\nUpgrade: websocket\r\n" : "Connection: keep-alive\r\n";
}

function codingOf(framing: Framing): Coding {
  if (framing.kind === "stream") return { kind: "chunked" };
  return framing.kind === "length" ? framing : { kind: "none" };
}

function framingLine(framing: Framing): string {
  if (framing.kind === "stream") return "Transfer-Encoding: chunked\r\n";
  return framing.kind === "length" ? `Content-Length: ${framing.length}\r\n` : "";
}
