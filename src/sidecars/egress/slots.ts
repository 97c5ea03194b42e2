/** A number of places that all of one kind share. Invariant: a place is given back once, however often that is said. */

/** Places. */
export class Slots {
  readonly #limit: number;
  #used = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Takes a place; gives what gives it back, or undefined where none is left. */
  take(): (() => void) | undefined {
    if (this.#used >= this.#limit) return undefined;
    this.#used += 1;
    let isHeld = true;
    return () => {
      if (isHeld) this.#used -= 1;
      isHeld = false;
    };
  }
}
