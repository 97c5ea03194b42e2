/** Sends a body upstream as it was judged, with back-pressure. A finding ends it without an end, so that it cannot pass for whole. */
import type { StreamScanner } from "../../policy/dlp/stream.ts";
import type { Deny } from "../../policy/verdict.ts";
import type { OutgoingBody } from "./context.ts";
import { found } from "./judge-bytes.ts";
import type { BodyFault, BodySink, BodySource, ForwardBody } from "./message.ts";

export interface SendOptions {
  readonly upstream: ForwardBody;
  readonly rule: string;
  /** Counts what leaves, where it was not counted before; gives the refusal that ends it. */
  readonly spend?: ((bytes: number) => Deny | undefined) | undefined;
  /** Something was found; nothing more is sent. */
  readonly onFound: (verdict: Deny) => void;
  /** The guest's body broke off. */
  readonly onBroken: (fault: BodyFault) => void;
}

/** Sends what was read of a body, then the rest as it comes. */
export function sendBody(
  source: BodySource,
  body: Extract<OutgoingBody, { kind: "stream" }>,
  options: SendOptions,
): void {
  const sink = new ScannedSink(source, body.scanner, options);
  for (const chunk of body.first) sink.data(chunk);
  if (!sink.isOver) source.flow(sink);
}

class ScannedSink implements BodySink {
  isOver = false;
  readonly #source: BodySource;
  readonly #scanner: StreamScanner | undefined;
  readonly #options: SendOptions;

  constructor(source: BodySource, scanner: StreamScanner | undefined, options: SendOptions) {
    this.#source = source;
    this.#scanner = scanner;
    this.#options = options;
  }

  data(chunk: Buffer): boolean {
    if (this.isOver) return true;
    const spent = this.#options.spend?.(chunk.length);
    if (spent !== undefined) return this.#stop(spent);
    if (this.#scanner === undefined) return this.#options.upstream.write(chunk);
    const { safe, finding } = this.#scanner.push(chunk);
    return finding === undefined ? this.#options.upstream.write(safe) : this.#found(finding);
  }

  flush(): void {
    if (!this.isOver) this.#options.upstream.flush();
  }

  end(): void {
    if (this.isOver) return;
    const last = this.#scanner?.end();
    if (last?.finding !== undefined) {
      this.#found(last.finding);
      return;
    }
    this.isOver = true;
    if (last !== undefined) this.#options.upstream.write(last.safe);
    this.#options.upstream.end();
  }

  fail(fault: BodyFault): void {
    if (this.isOver) return;
    this.isOver = true;
    this.#options.onBroken(fault);
  }

  #found(finding: Parameters<typeof found>[0]): true {
    return this.#stop(found(finding, this.#options.rule));
  }

  #stop(verdict: Deny): true {
    this.isOver = true;
    this.#source.cancel();
    this.#options.onFound(verdict);
    return true;
  }
}
