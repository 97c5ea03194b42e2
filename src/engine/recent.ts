/**
 * What an engine said of itself a moment ago. Planning, guest and bundle of one start ask the same, and the answer costs an engine
 * several processes. Invariant: failures are never kept, and nothing is kept longer than one start takes.
 */
import { systemClock } from "../base/clock.ts";
import type { EngineEndpoint } from "./contract.ts";

/** From the plan to the guest, with some time for the operator to say yes. */
const KEPT_MS = 10_000;

interface Kept<T> {
  readonly value: T;
  readonly until: number;
}

/** Answers of one kind, for each endpoint. */
export class Recent<T> {
  readonly #kept = new Map<string, Kept<T>>();

  /** The answer of a moment ago, else a new one. */
  async get(endpoint: EngineEndpoint, ask: () => Promise<T>): Promise<T> {
    const key = JSON.stringify(endpoint);
    const kept = this.#kept.get(key);
    if (kept !== undefined && systemClock.monotonic() < kept.until) return kept.value;
    const value = await ask();
    this.#kept.set(key, { value, until: systemClock.monotonic() + KEPT_MS });
    return value;
  }
}
