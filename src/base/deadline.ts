/** Deadlines that name what they wait for, and undo what finishes too late. */
import { type Clock, systemClock } from "./clock.ts";
import { TimeoutError } from "./errors.ts";
import { ignore } from "./log.ts";

export interface DeadlineOptions<T> {
  /** What is waited for, for the message: "the bundle's ready frame". */
  readonly what: string;
  readonly timeoutMs: number;
  /** The setting that changes the limit, for the hint. */
  readonly setting?: string;
  readonly signal?: AbortSignal | undefined;
  /** Undoes a result that arrives after we stopped caring, so that it never leaks. */
  readonly undo?: (late: T) => unknown;
  readonly clock?: Clock;
}

/**
 * Waits for `work` at most `timeoutMs`. Throws {@link TimeoutError} when the time is up and the signal's reason when
 * cancelled; a result that arrives later goes to `undo`, whose failures are nobody's to hear.
 */
export async function withDeadline<T>(work: Promise<T>, options: DeadlineOptions<T>): Promise<T> {
  const { signal } = options;
  const stop = new AbortController();
  const stopTimer = (): void => stop.abort();
  signal?.addEventListener("abort", stopTimer, { once: true });
  try {
    signal?.throwIfAborted();
    return await Promise.race([work, expire(options, stop.signal)]);
  } catch (error) {
    void undoLate(work, options.undo);
    throw error;
  } finally {
    signal?.removeEventListener("abort", stopTimer);
    stop.abort();
  }
}

/** Rejects when the time is up or the caller cancels; stays silent when the work was in time. */
async function expire<T>(options: DeadlineOptions<T>, stop: AbortSignal): Promise<never> {
  const { what, timeoutMs, setting, signal, clock = systemClock } = options;
  try {
    await clock.sleep(timeoutMs, stop);
  } catch (error) {
    signal?.throwIfAborted();
    if (!stop.aborted) throw error;
    return new Promise<never>(() => undefined);
  }
  throw new TimeoutError(`waited ${timeoutMs} ms for ${what}`, {
    hint: setting === undefined ? undefined : `raise ${setting}`,
  });
}

async function undoLate<T>(work: Promise<T>, undo: DeadlineOptions<T>["undo"]): Promise<void> {
  const late = work.then((result) => undo?.(result));
  await ignore(late, "the caller has been told of the first failure");
}
