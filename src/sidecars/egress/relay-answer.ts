/**
 * Sends an upstream's answer to the guest as it comes, never collecting it. Invariant: no value that was put into the
 * request reaches the guest; an answer that cannot be read for that is not passed on.
 */
import type { KnownSecrets } from "../../policy/dlp/known-secrets.ts";
import { createStreamMasker, type StreamMasker } from "../../policy/dlp/stream.ts";
import type { HeaderList } from "../../policy/headers.ts";
import { GrowingBytes } from "./body.ts";
import { codingsOf } from "./decode-body.ts";
import { decodedSource } from "./decoded-source.ts";
import { endToEnd, safeTrailers } from "./headers.ts";
import { lines } from "./http1/writer.ts";
import {
  type AnswerHead,
  type BodyFault,
  type BodySink,
  type BodySource,
  type Outgoing,
  type ReceivedHead,
  STREAM_BODY,
} from "./message.ts";
import { MAX_SAMPLED_BODY_BYTES } from "./record.ts";

/** Why an answer is not passed on in which an echo could not be masked. */
export const UNREADABLE = "the answer came in an encoding that cannot be read";

/** Alternative services would lead the guest around this proxy. */
const NEVER_RELAYED = ["alt-svc"];

export interface RelayOptions {
  /** Values to mask; undefined where none were put in. */
  readonly secrets: KnownSecrets | undefined;
  readonly isHead: boolean;
  /** Gets headers and the beginning of what was relayed, once. */
  readonly onSample: ((headers: HeaderList, sample: Buffer) => void) | undefined;
  /** The answer reached its end, or did not. */
  readonly onEnd: (error: Error | undefined) => void;
}

/** Statuses of answers that have no body, whatever their headers say. */
const BODILESS: readonly number[] = [204, 304];

/** An answer that is being relayed; resumed when the guest takes more. */
export interface Relay {
  resume(): void;
  cancel(): void;
}

/** Begins to relay an answer. Undefined when it cannot be read: nothing was sent then. */
export function relayAnswer(
  head: ReceivedHead,
  body: BodySource,
  outgoing: Outgoing,
  options: RelayOptions,
): Relay | undefined {
  const { secrets } = options;
  const { block } = head;
  const codings = codingsToUndo(head, options);
  const isDecoded = codings.length > 0;
  const source = isDecoded ? decodedSource(body, codings) : body;
  if (source === undefined) return undefined;
  const dropped = isDecoded ? [...NEVER_RELAYED, "content-encoding"] : NEVER_RELAYED;
  const { headers, lines } = maskedFields(endToEnd(block, dropped), secrets);
  const { status } = head;
  const reason = secrets === undefined ? head.reason : standardReason(status);
  const framing = isDecoded ? STREAM_BODY : head.framing;
  const answer: AnswerHead = { status, reason, headers, lines, framing };
  if (!isDecoded) outgoing.head(answer);
  const { onSample } = options;
  const sampler = onSample && new Sampler((sample) => onSample(headers, sample));
  const masker = secrets && createStreamMasker(secrets);
  const { onEnd } = options;
  const waiting = isDecoded ? answer : undefined;
  const onFull = (): void => source.pause();
  const sink = new RelaySink(outgoing, { waiting, masker, sampler, secrets, onEnd, onFull });
  source.flow(sink);
  return {
    resume: () => source.resume(),
    cancel: () => {
      sink.stop();
      source.cancel();
    },
  };
}

/** An echo is looked for where values were put in and a body follows. */
function codingsToUndo(head: ReceivedHead, { secrets, isHead }: RelayOptions): readonly string[] {
  if (secrets === undefined || isHead || BODILESS.includes(head.status)) return [];
  return codingsOf(head.block.values("content-encoding"));
}

interface SinkParts {
  /** A head that goes out with the first bytes that could be read: what cannot is refused with a status of its own. */
  readonly waiting: AnswerHead | undefined;
  readonly masker: StreamMasker | undefined;
  readonly sampler: Sampler | undefined;
  readonly secrets: KnownSecrets | undefined;
  readonly onEnd: (error: Error | undefined) => void;
  /** The guest takes no more for now. */
  readonly onFull: () => void;
}

/** From this many bytes on the fixed cost of looking for values hardly counts. */
const ENOUGH_BYTES = 4096;

/** Where values are looked for, small pieces are put together: those that come in one turn of the loop. */
class RelaySink implements BodySink {
  readonly #outgoing: Outgoing;
  readonly #parts: SinkParts;
  #waiting: AnswerHead | undefined;
  readonly #gathered = new GrowingBytes();
  #soon: NodeJS.Immediate | undefined;

  constructor(outgoing: Outgoing, parts: SinkParts) {
    this.#outgoing = outgoing;
    this.#parts = parts;
    this.#waiting = parts.waiting;
  }

  data(chunk: Buffer): boolean {
    this.#begin();
    if (this.#parts.masker === undefined) return this.#write(chunk);
    this.#gathered.add(chunk);
    if (this.#gathered.size >= ENOUGH_BYTES) return this.#mask();
    this.#soon ??= setImmediate(() => {
      const hasRoom = this.#mask();
      this.#outgoing.flush();
      if (!hasRoom) this.#parts.onFull();
    });
    return true;
  }

  flush(): void {
    // What was gathered goes out by itself, with the head where that still waits.
    if (this.#soon === undefined) this.#outgoing.flush();
  }

  /** Nothing more is sent. */
  stop(): void {
    clearImmediate(this.#soon);
    this.#gathered.take();
  }

  end(trailers: HeaderList): void {
    const { masker, sampler, secrets, onEnd } = this.#parts;
    this.#begin();
    this.#mask();
    const rest = masker?.end();
    if (rest !== undefined && rest.length > 0) this.#write(rest);
    sampler?.end();
    this.#outgoing.end(maskHeaders(safeTrailers(trailers), secrets));
    onEnd(undefined);
  }

  fail(fault: BodyFault): void {
    this.#mask();
    this.#parts.sampler?.end();
    if (this.#waiting === undefined) this.#outgoing.reset();
    this.#parts.onEnd(this.#waiting === undefined ? fault : new Error(UNREADABLE));
  }

  #begin(): void {
    const head = this.#waiting;
    this.#waiting = undefined;
    if (head !== undefined) this.#outgoing.head(head);
  }

  /** Sends what was gathered, as far as it can be told. */
  #mask(): boolean {
    clearImmediate(this.#soon);
    this.#soon = undefined;
    const { masker } = this.#parts;
    if (masker === undefined || this.#gathered.size === 0) return true;
    return this.#write(masker.push(this.#gathered.take()));
  }

  #write(bytes: Buffer): boolean {
    this.#parts.sampler?.take(bytes);
    return this.#outgoing.write(bytes);
  }
}

/** Collects the beginning of a stream and hands it on when there is enough of it, or no more. */
class Sampler {
  readonly #onSample: (sample: Buffer) => void;
  #chunks: Buffer[] = [];
  #missing = MAX_SAMPLED_BODY_BYTES;
  #isOver = false;

  constructor(onSample: (sample: Buffer) => void) {
    this.#onSample = onSample;
  }

  take(bytes: Buffer): void {
    if (this.#isOver) return;
    this.#chunks.push(Buffer.from(bytes.subarray(0, this.#missing)));
    this.#missing -= bytes.length;
    if (this.#missing <= 0) this.end();
  }

  end(): void {
    if (!this.#isOver) this.#onSample(Buffer.concat(this.#chunks));
    this.#isOver = true;
    this.#chunks = [];
  }
}

/** Masks values in headers; a header whose name holds one is dropped. */
export function maskHeaders(headers: HeaderList, secrets: KnownSecrets | undefined): HeaderList {
  return maskedFields(headers, secrets).headers;
}

/** All values are searched at once, and one by one only where something was found. */
function maskedFields(
  headers: HeaderList,
  secrets: KnownSecrets | undefined,
): { readonly headers: HeaderList; readonly lines: string | undefined } {
  const text = lines(headers);
  if (secrets === undefined || headers.length === 0) return { headers, lines: text };
  if (!holdsValue(text, secrets)) return { headers, lines: text };
  // A name cannot be masked and stay one that clients know.
  const kept = headers.filter(([name]) => !holdsValue(name, secrets));
  const masked = kept.map(([name, value]) => [name, maskValue(value, secrets)] as const);
  return { headers: masked, lines: undefined };
}

function holdsValue(text: string, { literals }: KnownSecrets): boolean {
  let isFound = false;
  literals.find(Buffer.from(text, "latin1"), () => {
    isFound = true;
    return false;
  });
  return isFound;
}

/** The upstream's own words could be a value that was put in. */
function standardReason(status: number): string {
  return process.getBuiltinModule("node:http").STATUS_CODES[status] ?? "";
}

function maskValue(value: string, secrets: KnownSecrets): string {
  const masker = createStreamMasker(secrets);
  const masked = Buffer.concat([masker.push(Buffer.from(value, "latin1")), masker.end()]);
  return masked.toString("latin1");
}
