/**
 * Judges the messages that a guest sends over a WebSocket: whole up to the bound of bodies, beyond it on their way. What was
 * sent before stands in front of each message, so that a value in two messages is found as well.
 */

import {
  createStreamScanner,
  STREAM_CONTEXT_BYTES,
  type StreamScanner,
} from "../../../policy/dlp/stream.ts";
import type { ScanPolicy } from "../../../policy/dlp/types.ts";
import type { Route } from "../../../policy/egress.ts";
import type { Deny } from "../../../policy/verdict.ts";
import { type BufferBudget, GrowingBytes, MAX_WHOLE_BODY_BYTES } from "../body.ts";
import { found, judgeBytes, tooMuchHeld } from "../judge-bytes.ts";

/** What may be sent of a message now; `isLast` ends it. */
export interface Release {
  readonly bytes: Buffer;
  readonly isLast: boolean;
}

/** Judges one direction of one connection. */
export class MessageJudge {
  readonly #route: Route;
  readonly #policy: ScanPolicy;
  readonly #budget: BufferBudget;
  readonly #held = new GrowingBytes();
  #context: Buffer = Buffer.alloc(0);
  #scanner: StreamScanner | undefined;

  constructor(route: Route, policy: ScanPolicy, budget: BufferBudget) {
    this.#route = route;
    this.#policy = policy;
    this.#budget = budget;
  }

  /** Takes bytes of a message; gives what may be sent, nothing yet, or why the connection ends. */
  push(bytes: Buffer, isLast: boolean): Release | Deny | undefined {
    if (this.#scanner !== undefined) return this.#stream(this.#scanner, bytes, isLast);
    if (!this.#budget.take(bytes.length)) return tooMuchHeld(this.#route.rule);
    this.#held.add(bytes);
    if (isLast) return this.#whole();
    if (this.#held.size <= MAX_WHOLE_BODY_BYTES) return undefined;
    const scanner = createStreamScanner("body", this.#policy, this.#context);
    this.#scanner = scanner;
    return this.#stream(scanner, this.#take(), false);
  }

  /** Judges the payload of a control frame. */
  control(payload: Buffer): Deny | undefined {
    // Behind what was sent before, like a message: whoever reads along sees no difference.
    const window = Buffer.concat([this.#context, payload]);
    const judged = judgeBytes(window, { ...this.#route, outboundOnMatch: "block" }, this.#policy);
    if ("reason" in judged) return judged;
    this.#remember(window);
    return undefined;
  }

  /** Gives back what is held. */
  close(): void {
    this.#take();
  }

  #take(): Buffer {
    this.#budget.give(this.#held.size);
    return this.#held.take();
  }

  #whole(): Release | Deny {
    const bytes = this.#take();
    if (bytes.length === 0) return { bytes, isLast: true };
    const judged = judgeBytes(bytes, this.#route, this.#policy);
    if ("reason" in judged) return judged;
    // Behind what was sent before: only a value that began there is new.
    const window = Buffer.concat([this.#context, judged]);
    const across =
      this.#context.length === 0
        ? window
        : judgeBytes(window, { ...this.#route, outboundOnMatch: "block" }, this.#policy);
    if ("reason" in across) return across;
    this.#remember(window);
    return { bytes: judged, isLast: true };
  }

  #stream(scanner: StreamScanner, bytes: Buffer, isLast: boolean): Release | Deny {
    const { safe, finding } = scanner.push(bytes);
    if (finding !== undefined) return found(finding, this.#route.rule);
    if (!isLast) return { bytes: safe, isLast };
    const rest = scanner.end();
    if (rest.finding !== undefined) return found(rest.finding, this.#route.rule);
    this.#scanner = undefined;
    const last = Buffer.concat([safe, rest.safe]);
    this.#remember(Buffer.concat([this.#context, last]));
    return { bytes: last, isLast };
  }

  #remember(bytes: Buffer): void {
    this.#context = Buffer.from(bytes.subarray(Math.max(0, bytes.length - STREAM_CONTEXT_BYTES)));
  }
}
