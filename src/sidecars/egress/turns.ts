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

/** Does one step; true when the work is over, and what to wait for before the next one. */
type Work = () => boolean | Promise<boolean>;

const active: Work[] = [];
const waiting: Work[] = [];
let isTurning = false;

/** Gives the result at once where there is little to do, and promises it otherwise. */
export function settle<T>(steps: Steps<T>): T | Promise<T> {
  let step = steps.next();
  for (let count = 1; count < FIRST_STEPS && step.done !== true; count += 1) {
    if (step.value !== undefined) break;
    step = steps.next();
  }
  if (step.done === true) return step.value;
  const first = step.value;
  return new Promise((resolve, reject) => {
    const fail = (error: unknown): true => {
      reject(error instanceof Error ? error : new Error(String(error)));
      return true;
    };
    const work: Work = () => {
      try {
        const next = steps.next();
        if (next.done !== true) return next.value?.then(() => false, fail) ?? false;
        resolve(next.value);
        return true;
      } catch (error) {
        return fail(error);
      }
    };
    if (first === undefined) enqueue(work);
    else first.then(() => enqueue(work), fail);
  });
}

function enqueue(work: Work): void {
  waiting.push(work);
  if (!isTurning) setImmediate(turn);
  isTurning = true;
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
    if (work === undefined) break;
    const result = work();
    if (result === false) active.push(work);
    else if (result !== true) void result.then((isOver) => isOver || enqueue(work));
  }
  isTurning = active.length + waiting.length > 0;
  if (isTurning) setImmediate(turn);
}
