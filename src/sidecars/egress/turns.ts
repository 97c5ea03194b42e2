/**
 * Runs long work a few steps at a time, so that everything else goes on in between. Invariant: no turn of the loop does more than
 * a few steps of all long work together.
 */
import type { Steps } from "../../policy/dlp/steps.ts";

/** Steps that are done at once: most work is that short, and then nobody waits for a turn. */
const FIRST_STEPS = 4;
/** Steps up to which a work counts as short: as many as plain text of the longest body takes. */
const SHORT_STEPS = 512;
/** Short works that take turns. */
const MAX_SHORT = 16;
/** Long ones: the memory of each may be many times its input. */
const MAX_LONG = 4;

/** Long work under way. */
interface Work {
  /** Does one step; true when the work is over, and what to wait for before the next one. */
  readonly step: () => boolean | Promise<boolean>;
  readonly isWanted: IsWanted;
  count: number;
}

/** Whether somebody still waits for the result. */
export type IsWanted = () => boolean;

/** Works that take turns, and those that wait until one of them is over. */
class Lane {
  readonly #most: number;
  readonly #active: Work[] = [];
  #waiting: Work[] = [];

  constructor(most: number) {
    this.#most = most;
  }

  get isEmpty(): boolean {
    return this.#active.length + this.#waiting.length === 0;
  }

  add(work: Work): void {
    // Whoever goes away leaves nothing behind that holds memory until its turn.
    this.#waiting = this.#waiting.filter((it) => it.isWanted());
    this.#waiting.push(work);
  }

  /** The work whose turn it is, which is taken out. */
  next(): Work | undefined {
    while (this.#active.length < this.#most && this.#waiting.length > 0) {
      this.#active.push(...this.#waiting.splice(0, 1));
    }
    return this.#active.shift();
  }

  /** Puts it back for its next turn. */
  again(work: Work): void {
    this.#active.push(work);
  }
}

const short = new Lane(MAX_SHORT);
const long = new Lane(MAX_LONG);
let isTurning = false;

/** Gives the result at once where there is little to do, and promises it otherwise; what nobody wants any more is dropped, and never ends. */
export function settle<T>(steps: Steps<T>, isWanted: IsWanted = () => true): T | Promise<T> {
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
    const oneStep = (): boolean | Promise<boolean> => {
      try {
        const next = steps.next();
        if (next.done !== true) return next.value?.then(() => false, fail) ?? false;
        resolve(next.value);
        return true;
      } catch (error) {
        return fail(error);
      }
    };
    const work = { step: oneStep, isWanted, count: 0 };
    if (first === undefined) enqueue(work);
    else first.then(() => enqueue(work), fail);
  });
}

function enqueue(work: Work): void {
  laneOf(work).add(work);
  if (!isTurning) setImmediate(turn);
  isTurning = true;
}

const laneOf = ({ count }: Work): Lane => (count < SHORT_STEPS ? short : long);

/** The same for those who are called back. */
export function settleInto<T>(
  steps: Steps<T>,
  onDone: (result: T) => void,
  onFault: (error: unknown) => void,
  isWanted: IsWanted,
): void {
  try {
    const result = settle(steps, isWanted);
    if (result instanceof Promise) result.then(onDone).catch(onFault);
    else onDone(result);
  } catch (error) {
    onFault(error);
  }
}

/** A step of each lane: what is long does not hold up what is not. */
function turn(): void {
  for (const lane of [short, long]) {
    const work = lane.next();
    if (work?.isWanted() === true) advance(lane, work);
  }
  isTurning = !short.isEmpty || !long.isEmpty;
  if (isTurning) setImmediate(turn);
}

function advance(lane: Lane, work: Work): void {
  work.count += 1;
  const result = work.step();
  if (result === true) return;
  if (result !== false) void result.then((isOver) => isOver || enqueue(work));
  else if (laneOf(work) === lane) lane.again(work);
  else laneOf(work).add(work);
}
