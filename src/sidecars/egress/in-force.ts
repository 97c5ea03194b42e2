/** The state that is in force, and who must hear when another takes its place. Invariant: there is always exactly one. */
import type { EgressState } from "./state.ts";

/** Holds it. */
export class InForce {
  #state: EgressState;
  readonly #watchers = new Set<() => void>();

  constructor(state: EgressState) {
    this.#state = state;
  }

  get state(): EgressState {
    return this.#state;
  }

  /** Puts another state in force; what was waiting for the old one is told. */
  swap(next: EgressState): void {
    const old = this.#state;
    this.#state = next;
    old.pool.retire();
    for (const onSwap of [...this.#watchers]) onSwap();
  }

  /** Calls back after each swap, until what it gives is called. */
  watch(onSwap: () => void): () => void {
    this.#watchers.add(onSwap);
    return () => this.#watchers.delete(onSwap);
  }
}
