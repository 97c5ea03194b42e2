/**
 * Long synchronous work in slices. Walking a tree with synchronous calls is several times faster than with promises; the
 * event loop gets its turn between slices, and a cancelled walk stops there.
 */
import { setImmediate } from "node:timers/promises";
import { type Clock, systemClock } from "../base/clock.ts";

/** Longest time the event loop is held, in milliseconds: below what a terminal's user notices. */
const SLICE_MS = 12;

/** Returns a function to call often: it gives the event loop a turn when the slice is used up, and throws the signal's reason. */
export function timeSlices(
  signal: AbortSignal | undefined,
  clock: Clock = systemClock,
): () => Promise<void> | undefined {
  let sliceEnd = clock.monotonic() + SLICE_MS;
  return () => {
    if (clock.monotonic() < sliceEnd) return undefined;
    return setImmediate().then(() => {
      signal?.throwIfAborted();
      sliceEnd = clock.monotonic() + SLICE_MS;
    });
  };
}
