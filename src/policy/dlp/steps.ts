/**
 * Long work in short steps: a generator that stops after each. Whoever runs it decides what happens in between. Invariant: a
 * step's work is bounded, however long and however hostile the input is.
 */

import { BugError } from "../../base/errors.ts";

/** Work that stops between its steps and ends with a result. A step may end with something to wait for. */
export type Steps<T> = Generator<Promise<void> | undefined, T, undefined>;

/** Bytes that one step looks at. */
export const STEP_BYTES: number = 16 * 1024;

/** Does all the work at once, where none of it is to be waited for. */
export function finish<T>(steps: Steps<T>): T {
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

/** Waits for something within steps. */
export function* waitFor<T>(promise: Promise<T>): Steps<T> {
  const box: { result?: { readonly value: T } } = {};
  yield promise.then((value) => {
    box.result = { value };
  });
  if (box.result === undefined) throw new BugError("a step went on before what it waited for");
  return box.result.value;
}
