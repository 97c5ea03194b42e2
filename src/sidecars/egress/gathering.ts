/**
 * Decides when small pieces are judged together: what comes alone at the end of the same turn, what comes in a flood when
 * there is enough of it, or a moment later. Invariant: the fixed cost of judging is paid for many bytes, or seldom.
 */

/** From this many bytes on the fixed cost of judging hardly counts. */
const ENOUGH_BYTES = 4096;
/** Time that a few bytes wait when some were judged just before. */
const PAUSE_MS = 5;

/** Calls `run` when it is time, and not again before it was told that the work is done. */
export class Gathering {
  readonly #run: () => void;
  #state: "idle" | "soon" | "running" | "pausing" | "stopped" = "idle";
  #size = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(run: () => void) {
    this.#run = run;
  }

  /** `size` bytes are there to be judged. */
  noteMore(size: number): void {
    this.#size = size;
    if (this.#state === "idle" || (this.#state === "pausing" && size >= ENOUGH_BYTES)) this.#soon();
  }

  /** No more bytes come: nothing is gained by waiting. */
  noteEnd(): void {
    this.noteMore(Number.POSITIVE_INFINITY);
  }

  /** `done` bytes were judged, and `left` have come meanwhile. */
  noteDone(done: number, left: number): void {
    if (this.#state !== "running") return;
    this.#size = left;
    if (left >= ENOUGH_BYTES) this.#soon();
    else if (done >= ENOUGH_BYTES) this.#go();
    else {
      this.#state = "pausing";
      this.#timer = setTimeout(() => this.#go(), PAUSE_MS);
    }
  }

  /** Nothing is judged any more. */
  stop(): void {
    this.#state = "stopped";
    clearTimeout(this.#timer);
  }

  #go(): void {
    if (this.#size > 0) this.#soon();
    else this.#state = "idle";
  }

  #soon(): void {
    clearTimeout(this.#timer);
    this.#state = "soon";
    setImmediate(() => {
      if (this.#state !== "soon") return;
      this.#state = "running";
      this.#run();
    });
  }
}
