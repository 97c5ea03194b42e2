/**
 * Long work in short steps: a generator that stops after each. Whoever runs it decides what happens in between. Invariant: a
 * step's work is bounded, however long and however hostile the input is.
 */

import { BugError } from "../../base/errors.ts";

/** Something to wait for that takes memory of its own, so that who runs the steps decides when it begins. */
export type Begin = () => Promise<void>;

/** Work that stops between its steps and ends with a result. A step may end with something to begin and to wait for. */
export type Steps<T> = Generator<Begin | undefined, T, undefined>;

/** Bytes that one step looks at. */
export const STEP_BYTES: number = 16 * 1024;

/** Does all the work at once, where none of it is to be waited for. */
export function finish<T>(steps: Steps<T>): T {
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

/** Waits for something within steps, which begins when there is a place for it. */
export function* waitFor<T>(begin: () => Promise<T>): Steps<T> {
  const box: { result?: { readonly value: T } } = {};
  yield async () => {
    box.result = { value: await begin() };
  };
  if (box.result === undefined) throw new BugError("a step went on before what it waited for");
  return box.result.value;
}
