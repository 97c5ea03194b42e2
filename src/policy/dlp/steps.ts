/**
 * Long work in short steps: a generator that stops after each. Whoever runs it decides what happens in between. Invariant: a
 * step's work is bounded, however long and however hostile the input is.
 */

/** Work that stops between its steps and ends with a result. */
export type Steps<T> = Generator<undefined, T, undefined>;

/** Bytes that one step looks at. */
export const STEP_BYTES: number = 16 * 1024;

/** Does all the work at once. */
export function finish<T>(steps: Steps<T>): T {
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}
