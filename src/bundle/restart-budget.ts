/** Counts restarts in a sliding window, so that a bundle that keeps dying closes its bottle instead of flapping. */
import type { Clock } from "../base/clock.ts";
import { MAX_RESTARTS, RESTART_WINDOW_MS } from "./contract.ts";

/** Says whether one more restart is allowed now, and counts it. */
export function createRestartBudget(clock: Pick<Clock, "monotonic">): () => boolean {
  let restarts: readonly number[] = [];
  return () => {
    const now = clock.monotonic();
    const recent = restarts.filter((time) => now - time < RESTART_WINDOW_MS);
    if (recent.length >= MAX_RESTARTS) return false;
    restarts = [...recent, now];
    return true;
  };
}
