/**
 * Time limits of connections. One timer looks at all of them once a second: a timer for each request would cost more than
 * reading its head.
 */

/** Something with a time limit. */
export interface Limited {
  /** Tick after which its time is over; 0 while nothing is waited for. */
  deadline: number;
  expire(): void;
}

const TICK_MS = 1000;

/** Keeps the time of all connections of one listener. */
export class Sweeper {
  readonly #limited = new Set<Limited>();
  #timer: NodeJS.Timeout | undefined;
  #tick = 1;

  /** The tick that lies `ms` ahead. */
  after(ms: number): number {
    return this.#tick + Math.ceil(ms / TICK_MS) + 1;
  }

  add(limited: Limited): void {
    this.#limited.add(limited);
    this.#timer ??= setInterval(() => this.#sweep(), TICK_MS).unref();
  }

  delete(limited: Limited): void {
    this.#limited.delete(limited);
    if (this.#limited.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #sweep(): void {
    this.#tick += 1;
    for (const limited of this.#limited) {
      if (limited.deadline === 0 || limited.deadline > this.#tick) continue;
      limited.deadline = 0;
      limited.expire();
    }
  }
}
