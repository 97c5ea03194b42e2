/**
 * What a guest sends over a WebSocket on its way through the judge: taken as it comes, judged together, sent in its order.
 * Invariant: what waits is bounded, because the guest is not read from while there is too much of it.
 */
import type { Deny } from "../../../policy/verdict.ts";
import { Gathering } from "../gathering.ts";
import { settleInto } from "../turns.ts";
import type { FrameSink } from "./frames.ts";
import type { MessageJudge, Release } from "./message-judge.ts";

/** Memory of what waits before the guest has to. */
const MAX_WAITING_BYTES: number = 128 * 1024;

/** What becomes of what was judged. */
export interface OutboundEnds {
  readonly send: (releases: readonly Release[]) => void;
  readonly refuse: (verdict: Deny) => void;
  readonly fail: (error: unknown) => void;
  /** The guest may be read from again. */
  readonly resume: () => void;
}

/** One direction of one connection. */
export class Outbound implements FrameSink {
  readonly #judge: MessageJudge;
  readonly #ends: OutboundEnds;
  readonly #gathering = new Gathering(() => this.#run());
  #isIdle = true;
  #isOver = false;
  #then: (() => void) | undefined;

  constructor(judge: MessageJudge, ends: OutboundEnds) {
    this.#judge = judge;
    this.#ends = ends;
  }

  /** Whether the guest must wait. */
  get isFull(): boolean {
    return this.#judge.waiting >= MAX_WAITING_BYTES;
  }

  data(opcode: number, bytes: Buffer, isLast: boolean): void {
    if (!this.#isOver) this.#took(this.#judge.push(opcode, bytes, isLast));
  }

  control(opcode: number, payload: Buffer): void {
    if (!this.#isOver) this.#took(this.#judge.control(opcode, payload));
  }

  /** Nothing more comes; `then` is called when all that did was judged. */
  finish(then: () => void): void {
    if (this.#isIdle) then();
    else {
      this.#then = then;
      this.#gathering.noteEnd();
    }
  }

  /** Nothing is sent any more. */
  stop(): void {
    this.#isOver = true;
    this.#gathering.stop();
    this.#judge.close();
  }

  #took(refused: Deny | undefined): void {
    if (refused !== undefined) {
      this.#ends.refuse(refused);
      return;
    }
    const { waiting } = this.#judge;
    if (waiting === 0) return;
    this.#isIdle = false;
    this.#gathering.noteMore(waiting);
  }

  #run(): void {
    const size = this.#judge.waiting;
    const onDone = (judged: readonly Release[] | Deny): void => this.#judged(judged, size);
    settleInto(this.#judge.judge(), onDone, this.#ends.fail, () => !this.#isOver);
  }

  #judged(judged: readonly Release[] | Deny, size: number): void {
    if (this.#isOver) return;
    if ("reason" in judged) {
      this.#ends.refuse(judged);
      return;
    }
    this.#ends.send(judged);
    const { waiting } = this.#judge;
    this.#isIdle = waiting === 0;
    if (this.#isIdle && this.#then !== undefined) {
      this.#then();
      return;
    }
    this.#gathering.noteDone(size, this.#then === undefined ? waiting : Number.POSITIVE_INFINITY);
    if (!this.isFull) this.#ends.resume();
  }
}
