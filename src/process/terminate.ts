/** The one kill ladder: SIGTERM, a grace, SIGKILL. No timer outlives the child. */
import { type Clock, systemClock } from "../base/clock.ts";
import { systemCode } from "../base/errors.ts";

/** Sends a signal to a pid, or to a group (negative). False when nothing there can get it. */
export function sendSignal(target: number, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(target, signal);
  } catch (error) {
    // EPERM is also what macOS says of a group that has only zombies left.
    if (systemCode(error) === "ESRCH" || systemCode(error) === "EPERM") return false;
    throw error;
  }
}

/** What the ladder is climbed on. */
export interface Killable {
  kill(signal: NodeJS.Signals): boolean;
  /** Settles the moment the child has exited; never rejects. */
  readonly gone: Promise<unknown>;
}

/** Ends a child: SIGTERM, and SIGKILL if it is still there after the grace. Resolves when it is gone. */
export async function climbKillLadder(
  child: Killable,
  graceMs: number,
  clock: Clock = systemClock,
): Promise<void> {
  child.kill("SIGTERM");
  if (!(await settlesWithin(child.gone, graceMs, clock))) child.kill("SIGKILL");
  await child.gone;
}

/** Whether `work` settles within `ms`. The timer ends with it. `work` must not reject. */
export async function settlesWithin(
  work: Promise<unknown>,
  ms: number,
  clock: Clock = systemClock,
): Promise<boolean> {
  const stop = new AbortController();
  const timer = clock.sleep(ms, stop.signal).then(
    () => false,
    () => true,
  );
  try {
    return await Promise.race([work.then(() => true), timer]);
  } finally {
    stop.abort();
  }
}
