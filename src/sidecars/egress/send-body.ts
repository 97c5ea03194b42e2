/**
 * Sends a body upstream as it was judged, with back-pressure. What comes in small pieces is judged together. A finding ends
 * it without an end, so that it cannot pass for whole.
 */
import type { Scanned, StreamScanner } from "../../policy/dlp/stream.ts";
import type { Deny } from "../../policy/verdict.ts";
import { GrowingBytes } from "./body.ts";
import type { OutgoingBody } from "./context.ts";
import { Gathering } from "./gathering.ts";
import { found } from "./judge-bytes.ts";
import type { BodyFault, BodySink, BodySource, ForwardBody } from "./message.ts";
import { settleInto } from "./turns.ts";

export interface SendOptions {
  readonly upstream: ForwardBody;
  readonly rule: string;
  /** Counts what leaves, where it was not counted before; gives the refusal that ends it. */
  readonly spend?: ((bytes: number) => Deny | undefined) | undefined;
  /** Something was found; nothing more is sent. */
  readonly onFound: (verdict: Deny) => void;
  /** The guest's body broke off. */
  readonly onBroken: (fault: BodyFault) => void;
  /** A fault of ours. */
  readonly onFault: (error: unknown) => void;
}

/** A body on its way. */
export interface SentBody {
  /** The upstream takes more. */
  resume(): void;
  /** Nothing more is sent. */
  stop(): void;
}

/** Sends what was read of a body, then the rest as it comes. */
export function sendBody(
  source: BodySource,
  { first, scanner }: Extract<OutgoingBody, { kind: "stream" }>,
  options: SendOptions,
): SentBody {
  const sink =
    scanner === undefined
      ? new PlainSink(source, options)
      : new ScannedSink(source, scanner, options);
  let hasRoom = true;
  for (const chunk of first) hasRoom = sink.data(chunk);
  if (hasRoom) sink.resume();
  return sink;
}

/** What both kinds have in common: the source flows from the first time on that there is room. */
abstract class Sink implements BodySink, SentBody {
  protected isOver = false;
  protected readonly options: SendOptions;
  readonly #source: BodySource;
  #isFlowing = false;

  constructor(source: BodySource, options: SendOptions) {
    this.#source = source;
    this.options = options;
  }

  abstract data(chunk: Buffer): boolean;
  abstract flush(): void;
  abstract end(): void;

  resume(): void {
    if (this.isOver) return;
    if (this.#isFlowing) {
      this.#source.resume();
      return;
    }
    this.#isFlowing = true;
    this.#source.flow(this);
  }

  stop(): void {
    this.isOver = true;
  }

  fail(fault: BodyFault): void {
    if (this.isOver) return;
    this.isOver = true;
    this.options.onBroken(fault);
  }

  protected pause(): void {
    this.#source.pause();
  }

  /** Counts bytes; false when they may not leave. */
  protected isPaid(bytes: number): boolean {
    const spent = this.options.spend?.(bytes);
    if (spent !== undefined) this.refuse(spent);
    return spent === undefined;
  }

  protected refuse(verdict: Deny): void {
    this.isOver = true;
    this.#source.cancel();
    this.options.onFound(verdict);
  }
}

class PlainSink extends Sink {
  data(chunk: Buffer): boolean {
    if (this.isOver || !this.isPaid(chunk.length)) return true;
    return this.options.upstream.write(chunk);
  }

  flush(): void {
    if (!this.isOver) this.options.upstream.flush();
  }

  end(): void {
    if (this.isOver) return;
    this.isOver = true;
    this.options.upstream.end();
  }
}

/** Bytes that wait to be judged before the source is halted. */
const MAX_GATHERED_BYTES: number = 64 * 1024;

class ScannedSink extends Sink {
  readonly #scanner: StreamScanner;
  readonly #gathered = new GrowingBytes();
  readonly #gathering = new Gathering(() => this.#judge());
  #isHalted = false;
  #isEnding = false;

  constructor(source: BodySource, scanner: StreamScanner, options: SendOptions) {
    super(source, options);
    this.#scanner = scanner;
  }

  data(chunk: Buffer): boolean {
    if (this.isOver || !this.isPaid(chunk.length)) return true;
    this.#gathered.add(chunk);
    this.#gathering.noteMore(this.#gathered.size);
    this.#isHalted = this.#gathered.size >= MAX_GATHERED_BYTES;
    return !this.#isHalted;
  }

  flush(): void {
    // What was judged goes out as soon as it is.
  }

  end(): void {
    if (this.isOver) return;
    this.#isEnding = true;
    this.#gathering.noteEnd();
  }

  override stop(): void {
    super.stop();
    this.#gathering.stop();
  }

  /** Judges what was gathered, or what is held back when the body has ended. */
  #judge(): void {
    const isLast = this.#gathered.size === 0;
    if (this.isOver || (isLast && !this.#isEnding)) return;
    const bytes = this.#gathered.take();
    const steps = isLast ? this.#scanner.end() : this.#scanner.push(bytes);
    const onDone = (it: Scanned): void => this.#judged(it, bytes.length);
    settleInto(steps, onDone, this.options.onFault, () => !this.isOver);
  }

  #judged({ safe, finding }: Scanned, size: number): void {
    if (this.isOver) return;
    const { upstream, rule } = this.options;
    if (finding !== undefined) {
      this.#gathering.stop();
      this.refuse(found(finding, rule));
      return;
    }
    const hasRoom = upstream.write(safe);
    if (size === 0) {
      this.isOver = true;
      upstream.end();
      return;
    }
    upstream.flush();
    this.#gathering.noteDone(size, this.#isEnding ? Number.POSITIVE_INFINITY : this.#gathered.size);
    if (!hasRoom) this.pause();
    else if (this.#isHalted) {
      this.#isHalted = false;
      this.resume();
    }
  }
}
