/** What a bottle tells its watcher while it lives: steps, decisions, sessions. No secret is ever in an event. */
import type { AuditEvent } from "../protocol/audit.ts";
import type { LaunchStep } from "./steps.ts";

export type BottleEvent =
  | { readonly kind: "step"; readonly step: LaunchStep }
  | { readonly kind: "progress"; readonly step: LaunchStep; readonly detail: string }
  | { readonly kind: "decision"; readonly event: AuditEvent }
  | { readonly kind: "bundle-restarted"; readonly reason: string }
  /** The audit log at `path` cannot be written, and nothing leaves the bottle; or it can again. */
  | {
      readonly kind: "audit";
      readonly state: "failed" | "recovered";
      readonly detail: string;
      readonly path: string;
    }
  /** The operator's own login that egress uses: read anew, or in need of the operator. */
  | {
      readonly kind: "credential";
      readonly state: "renewed" | "expired" | "refused";
      readonly name: string;
      readonly detail: string;
    }
  | { readonly kind: "agent-started"; readonly argv: readonly string[] }
  | {
      readonly kind: "agent-exited";
      readonly exitCode: number | undefined;
      readonly signal: string | undefined;
    }
  | { readonly kind: "closing"; readonly why: string }
  | {
      readonly kind: "closed";
      readonly kept: string | undefined;
      readonly auditHead: string | undefined;
    };

/** Most events that wait for a slow reader; older ones are dropped, the audit log has them all. */
const MAX_BACKLOG = 10_000;

/** Hands events to any number of readers, each from the moment it subscribes. */
export class EventHub {
  readonly #readers = new Set<EventReader>();
  #isEnded = false;

  emit(event: BottleEvent): void {
    for (const reader of this.#readers) reader.push(event);
  }

  /** Ends every reader's iteration. */
  end(): void {
    this.#isEnded = true;
    for (const reader of this.#readers) reader.end();
    this.#readers.clear();
  }

  subscribe(): AsyncIterableIterator<BottleEvent> {
    const reader = new EventReader((done) => this.#readers.delete(done));
    if (this.#isEnded) reader.end();
    else this.#readers.add(reader);
    return reader;
  }
}

class EventReader implements AsyncIterableIterator<BottleEvent> {
  readonly #queue: BottleEvent[] = [];
  readonly #onReturn: (self: EventReader) => void;
  #waiting: ((result: IteratorResult<BottleEvent>) => void) | undefined;
  #isEnded = false;

  constructor(onReturn: (self: EventReader) => void) {
    this.#onReturn = onReturn;
  }

  push(event: BottleEvent): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (waiting !== undefined) waiting({ done: false, value: event });
    else if (this.#queue.push(event) > MAX_BACKLOG) this.#queue.shift();
  }

  end(): void {
    this.#isEnded = true;
    this.#waiting?.({ done: true, value: undefined });
    this.#waiting = undefined;
  }

  next(): Promise<IteratorResult<BottleEvent>> {
    const value = this.#queue.shift();
    if (value !== undefined) return Promise.resolve({ done: false, value });
    if (this.#isEnded) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve) => {
      this.#waiting = resolve;
    });
  }

  return(): Promise<IteratorResult<BottleEvent>> {
    this.#onReturn(this);
    this.end();
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
