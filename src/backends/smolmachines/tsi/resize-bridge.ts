/**
 * Tells a machine's terminals the size of the operator's: smolvm of this family gives them none and forwards no change. Rules that
 * were learnt: the first time comes a while after the start, never two at once, and never with the operator's terminal as input.
 */
import type { Clock } from "../../../base/clock.ts";
import { ignore, type Logger } from "../../../base/log.ts";
import type { TerminalSize } from "../../shared/terminal-size.ts";

/** Programs that start at once in one machine disturb each other. */
export const FIRST_SYNC_MS = 2_000;

/** What the bridge stands between. */
export interface ResizeEnds {
  readonly readSize: () => TerminalSize;
  /** Listens for changes; returns how to stop. */
  readonly onChange: (listener: () => void) => () => void;
  /** Tells the machine, by a program with an input of its own. */
  readonly tell: (size: TerminalSize) => Promise<void>;
  readonly clock: Clock;
  readonly log: Logger;
}

/** A bridge that works until it is disposed of. */
export class ResizeBridge implements Disposable {
  readonly #ends: ResizeEnds;
  readonly #stop = new AbortController();
  readonly #unlisten: () => void;
  #isReady = false;
  #isWanted = false;
  #isTelling = false;

  constructor(ends: ResizeEnds) {
    this.#ends = ends;
    this.#unlisten = ends.onChange(() => this.#want());
    void ignore(this.#begin(), "the session ended first");
  }

  [Symbol.dispose](): void {
    this.#unlisten();
    this.#stop.abort();
  }

  async #begin(): Promise<void> {
    await this.#ends.clock.sleep(FIRST_SYNC_MS, this.#stop.signal);
    this.#isReady = true;
    this.#want();
  }

  /** Changes that come while one is told are told together, as the last of them. */
  #want(): void {
    this.#isWanted = true;
    if (this.#isReady && !this.#isTelling) void this.#tellAll();
  }

  async #tellAll(): Promise<void> {
    const { readSize, tell, log } = this.#ends;
    this.#isTelling = true;
    while (this.#isWanted && !this.#stop.signal.aborted) {
      this.#isWanted = false;
      await ignore(tell(readSize()), "the terminal keeps its size", log);
    }
    this.#isTelling = false;
  }
}
