/** Closes exhaustive switches and states our own invariants. A failure here is a bug of ours, never of the user. */
import { BugError } from "./errors.ts";

/** Closes an exhaustive `switch`; throws {@link BugError} if a new kind slipped through at run time. */
export function assertNever(value: never, where: string): never {
  throw new BugError(`${where}: unexpected ${typeof value}`);
}

/** States an invariant; throws {@link BugError} when it does not hold. */
export function invariant(condition: unknown, what: string): asserts condition {
  if (!condition) throw new BugError(`invariant broken: ${what}`);
}
