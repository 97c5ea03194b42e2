/**
 * Runs long work a few steps at a time, so that everything else goes on in between. Invariant: no turn of the loop does more than
 * a few steps of all long work together.
 */
import type { Steps } from "../../policy/dlp/steps.ts";

/** Steps that are done at once: most work is that short, and then nobody waits for a turn. */
const FIRST_STEPS = 4;
/** Steps of one turn. */
const TURN_STEPS = 2;
/** Works that take turns; the memory of each may be many times its input. */
const MAX_ACTIVE = 4;

/** Does one step; true when the work is over. */
type Work = () => boolean;

const active: Work[] = [];
const waiting: Work[] = [];

/** Gives the result at once where there is little to do, and promises it otherwise. */
export function settle<T>(steps: Steps<T>): T | Promise<T> {
  for (let count = 0; count < FIRST_STEPS; count += 1) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
  return new Promise((resolve, reject) => {
    const work: Work = () => {
      try {
        const step = steps.next();
        if (step.done === true) resolve(step.value);
        return step.done === true;
      } catch (error) {
        reject(error instanceof Error ? error : new Error(String(error)));
        return true;
      }
    };
    waiting.push(work);
    // Otherwise a turn is coming already.
    if (active.length === 0 && waiting.length === 1) setImmediate(turn);
  });
}

/** The same for those who are called back. */
export function settleInto<T>(
  steps: Steps<T>,
  onDone: (result: T) => void,
  onFault: (error: unknown) => void,
): void {
  try {
    const result = settle(steps);
    if (result instanceof Promise) result.then(onDone).catch(onFault);
    else onDone(result);
  } catch (error) {
    onFault(error);
  }
}

function turn(): void {
  for (let count = 0; count < TURN_STEPS; count += 1) {
    while (active.length < MAX_ACTIVE && waiting.length > 0) active.push(...waiting.splice(0, 1));
    const work = active.shift();
    if (work === undefined) return;
    if (!work()) active.push(work);
  }
  if (active.length + waiting.length > 0) setImmediate(turn);
}
