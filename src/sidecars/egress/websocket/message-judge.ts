/**
 * Judges the messages that a guest sends over a WebSocket: whole up to the bound of bodies, beyond it on their way. What was
 * sent before stands in front of them, so that a value in two messages is found as well. Those that wait are judged together.
 */
import type { Steps } from "../../../policy/dlp/steps.ts";
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

/** What may be sent: a control frame, or bytes of a message. */
export interface Release {
  readonly opcode: number;
  readonly bytes: Buffer;
  /** Ends its message; true of every control frame. */
  readonly isLast: boolean;
  readonly isControl: boolean;
}

/** A message or a control frame that is there in one piece. */
interface Whole {
  readonly kind: "whole";
  readonly opcode: number;
  readonly bytes: Buffer;
  readonly isControl: boolean;
}

/** More of a message that is too long to wait for its end. */
interface Part {
  readonly kind: "part";
  readonly opcode: number;
  readonly bytes: GrowingBytes;
  readonly isFirst: boolean;
  isLast: boolean;
}

/** What an entry of the queue costs besides its bytes. */
const ENTRY_BYTES = 128;
/** Entries that are judged in one step. */
const STEP_ENTRIES = 64;
/** Nothing that is searched for is shorter. */
const MIN_BYTES = 8;

/** Judges one direction of one connection. */
export class MessageJudge {
  readonly #route: Route;
  readonly #policy: ScanPolicy;
  readonly #budget: BufferBudget;
  readonly #held = new GrowingBytes();
  #queue: (Whole | Part)[] = [];
  #queued = 0;
  #taken = 0;
  #isLong = false;
  #context: Buffer = Buffer.alloc(0);
  #scanner: StreamScanner | undefined;

  constructor(route: Route, policy: ScanPolicy, budget: BufferBudget) {
    this.#route = route;
    this.#policy = policy;
    this.#budget = budget;
  }

  /** Memory of what waits to be judged. */
  get waiting(): number {
    return this.#queued;
  }

  /** Takes bytes of a message; gives why the connection ends. */
  push(opcode: number, bytes: Buffer, isLast: boolean): Deny | undefined {
    if (!this.#take(bytes.length)) return tooMuchHeld(this.#route.rule);
    if (this.#isLong) {
      this.#append(opcode, bytes, isLast);
      this.#isLong = !isLast;
      return undefined;
    }
    this.#held.add(bytes);
    if (isLast) {
      this.#enqueue({ kind: "whole", opcode, bytes: this.#held.take(), isControl: false });
    } else if (this.#held.size > MAX_WHOLE_BODY_BYTES) {
      const first = new GrowingBytes();
      first.add(this.#held.take());
      this.#enqueue({ kind: "part", opcode, bytes: first, isFirst: true, isLast });
      this.#isLong = true;
    }
    return undefined;
  }

  /** Takes a control frame. */
  control(opcode: number, payload: Buffer): Deny | undefined {
    if (!this.#take(payload.length)) return tooMuchHeld(this.#route.rule);
    this.#enqueue({ kind: "whole", opcode, bytes: payload, isControl: true });
    return undefined;
  }

  /** Judges all that waits; gives what may be sent of it, or why the connection ends. */
  *judge(): Steps<readonly Release[] | Deny> {
    const queue = this.#queue;
    this.#queue = [];
    this.#queued = 0;
    const released: Release[] = [];
    for (let at = 0; at < queue.length; ) {
      const entry = queue[at];
      if (entry === undefined) break;
      const wholes = entry.kind === "whole" ? wholesFrom(queue, at) : [];
      const judged = entry.kind === "part" ? yield* this.#part(entry) : yield* this.#wholes(wholes);
      if ("reason" in judged) return judged;
      for (const it of judged) released.push(it);
      at += Math.max(1, wholes.length);
    }
    return released;
  }

  /** Gives back what is held. */
  close(): void {
    this.#give(this.#taken);
    this.#held.take();
    this.#queue = [];
  }

  #enqueue(entry: Whole | Part): void {
    this.#queue.push(entry);
    this.#queued += ENTRY_BYTES + (entry.kind === "whole" ? entry.bytes.length : entry.bytes.size);
  }

  #append(opcode: number, bytes: Buffer, isLast: boolean): void {
    const last = this.#queue.at(-1);
    if (last?.kind === "part" && !last.isLast) {
      last.bytes.add(bytes);
      last.isLast = isLast;
      this.#queued += bytes.length;
      return;
    }
    const part = new GrowingBytes();
    part.add(bytes);
    this.#enqueue({ kind: "part", opcode, bytes: part, isFirst: false, isLast });
  }

  #take(bytes: number): boolean {
    if (!this.#budget.take(bytes)) return false;
    this.#taken += bytes;
    return true;
  }

  #give(bytes: number): void {
    const given = Math.min(bytes, this.#taken);
    this.#taken -= given;
    this.#budget.give(given);
  }

  /** Each by itself, then all behind what was sent before: only a value that began there or goes on in the next one is new. */
  *#wholes(wholes: readonly Whole[]): Steps<readonly Release[] | Deny> {
    const released: Release[] = [];
    for (const { opcode, bytes, isControl } of wholes) {
      const route = isControl ? this.#blocking : this.#route;
      const isShort = bytes.length < MIN_BYTES;
      const judged = isShort ? bytes : yield* judgeBytes(bytes, route, this.#policy);
      if ("reason" in judged) return judged;
      released.push({ opcode, bytes: judged, isLast: true, isControl });
      if (released.length % STEP_ENTRIES === 0) yield;
    }
    const parts = released.map((it) => it.bytes);
    const window = Buffer.concat([this.#context, ...parts]);
    const isNew = this.#context.length > 0 || parts.length > 1;
    const across = isNew ? yield* judgeBytes(window, this.#blocking, this.#policy) : window;
    if ("reason" in across) return across;
    this.#remember(window);
    this.#give(wholes.reduce((sum, { bytes }) => sum + bytes.length, 0));
    return released;
  }

  *#part({ opcode, bytes: gathered, isFirst, isLast }: Part): Steps<readonly Release[] | Deny> {
    if (isFirst) this.#scanner = createStreamScanner("body", this.#policy, this.#context);
    const scanner = this.#scanner;
    if (scanner === undefined) return [];
    const { size } = gathered;
    const { safe, finding } = yield* scanner.push(gathered.take());
    const rest = isLast && finding === undefined ? yield* scanner.end() : undefined;
    const inAny = finding ?? rest?.finding;
    if (inAny !== undefined) return found(inAny, this.#route.rule);
    const bytes = rest === undefined ? safe : Buffer.concat([safe, rest.safe]);
    this.#remember(Buffer.concat([this.#context, bytes]));
    this.#give(size);
    return [{ opcode, bytes, isLast, isControl: false }];
  }

  get #blocking(): Route {
    return { ...this.#route, outboundOnMatch: "block" };
  }

  #remember(bytes: Buffer): void {
    this.#context = Buffer.from(bytes.subarray(Math.max(0, bytes.length - STREAM_CONTEXT_BYTES)));
  }
}

function wholesFrom(queue: readonly (Whole | Part)[], from: number): readonly Whole[] {
  const wholes: Whole[] = [];
  for (let at = from; at < queue.length; at += 1) {
    const entry = queue[at];
    if (entry?.kind !== "whole") break;
    wholes.push(entry);
  }
  return wholes;
}
