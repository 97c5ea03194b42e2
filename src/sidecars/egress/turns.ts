/**
 * Runs long work a few steps at a time, so that everything else goes on in between. Invariant: no turn of the loop does more than
 * a few steps of all long work together, and what takes much memory is begun for a few at a time.
 */
import type { Begin, Steps } from "../../policy/dlp/steps.ts";

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
  /** Does one step; true when the work is over. */
  readonly step: () => boolean;
  readonly fail: (error: unknown) => void;
  readonly isWanted: IsWanted;
  count: number;
  /** What is to begin before the next step, and to be waited for. */
  begin: Begin | undefined;
}

/** Whether somebody still waits for the result. */
export type IsWanted = () => boolean;

/** Works that take turns, and those that wait until one of them is over. */
class Lane {
  readonly #most: number;
  readonly #active: Work[] = [];
  #waiting: Work[] = [];
  /** Works that wait for something else, and keep their place. */
  #held = 0;

  constructor(most: number) {
    this.#most = most;
  }

  /** Nothing is to be done before something else has ended. */
  get isIdle(): boolean {
    return this.#active.length === 0 && (this.#waiting.length === 0 || !this.#hasRoom);
  }

  get #hasRoom(): boolean {
    return this.#active.length + this.#held < this.#most;
  }

  add(work: Work): void {
    // Whoever goes away leaves nothing behind that holds memory until its turn.
    this.#waiting = this.#waiting.filter((it) => it.isWanted());
    this.#waiting.push(work);
  }

  /** The work whose turn it is, which is taken out. */
  next(): Work | undefined {
    while (this.#hasRoom && this.#waiting.length > 0) {
      this.#active.push(...this.#waiting.splice(0, 1));
    }
    return this.#active.shift();
  }

  /** Puts it back for its next turn. */
  again(work: Work): void {
    this.#active.push(work);
  }

  /** Keeps the place of a work that was taken out until `done` has settled. */
  hold(work: Work, done: Promise<void>): void {
    this.#held += 1;
    const leave = (): void => {
      this.#held -= 1;
      wake();
    };
    done.then(
      () => {
        this.#active.push(work);
        leave();
      },
      (error: unknown) => {
        work.fail(error);
        leave();
      },
    );
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
  const begin = step.value;
  return new Promise((resolve, reject) => {
    const fail = (error: unknown): void =>
      reject(error instanceof Error ? error : new Error(String(error)));
    const oneStep = (): boolean => {
      try {
        const next = steps.next();
        if (next.done === true) resolve(next.value);
        else work.begin = next.value;
        return next.done === true;
      } catch (error) {
        fail(error);
        return true;
      }
    };
    const work: Work = { step: oneStep, fail, isWanted, count: 0, begin };
    laneOf(work).add(work);
    wake();
  });
}

function wake(): void {
  if (!isTurning) setImmediate(turn);
  isTurning = true;
}

/** What takes memory of its own belongs to the long ones, and stays there. */
function laneOf(work: Work): Lane {
  if (work.begin !== undefined) work.count = Math.max(work.count, SHORT_STEPS);
  return work.count < SHORT_STEPS ? short : long;
}

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
  isTurning = !short.isIdle || !long.isIdle;
  if (isTurning) setImmediate(turn);
}

function advance(lane: Lane, work: Work): void {
  const { begin } = work;
  work.begin = undefined;
  if (begin !== undefined) {
    lane.hold(work, begin());
    return;
  }
  work.count += 1;
  if (work.step()) return;
  if (laneOf(work) === lane) lane.again(work);
  else laneOf(work).add(work);
}
