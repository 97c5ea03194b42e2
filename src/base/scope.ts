/**
 * Ownership of acquired things. Each is registered on the line that acquires it, with a label; `close()` releases all,
 * last first, each step bounded by a deadline. Unlike AsyncDisposableStack, a failing or hanging step never hides the
 * first error and never stops the remaining steps.
 */
import { type Clock, systemClock } from "./clock.ts";
import { withDeadline } from "./deadline.ts";
import { BugError, messageOf } from "./errors.ts";
import { ignore } from "./log.ts";

/** Time one teardown step gets by default: longer than a daemon's 8 s grace, so that a kill ladder can finish. */
export const DEFAULT_TEARDOWN_STEP_MS = 12_000;

/** A teardown step that failed or hung. */
export interface TeardownFailure {
  readonly label: string;
  readonly error: unknown;
}

export interface ScopeOptions {
  /** Milliseconds each teardown step gets. */
  readonly stepDeadlineMs?: number;
  /** Told about each failed step; teardown failures are reported beside the first error, never instead of it. */
  readonly onFailure?: (failure: TeardownFailure) => void;
  readonly clock?: Clock;
}

interface Step {
  readonly label: string;
  readonly release: () => unknown;
}

export type Releasable = AsyncDisposable | Disposable;

/** Owns things until closed. Works with `await using`; `close()` is idempotent and shared by all callers. */
export class Scope implements AsyncDisposable {
  #steps: Step[] = [];
  #closing: Promise<readonly TeardownFailure[]> | undefined;
  readonly #options: ScopeOptions;

  constructor(options: ScopeOptions = {}) {
    this.#options = options;
  }

  /** True once close() was called. */
  get isClosed(): boolean {
    return this.#closing !== undefined;
  }

  /** Labels of what is owned now, in order of acquisition. */
  get labels(): readonly string[] {
    return this.#steps.map((step) => step.label);
  }

  /** Owns a disposable and returns it. When the scope is closed, releases it and throws {@link BugError}. */
  use<T extends Releasable>(label: string, value: T): T {
    this.defer(label, () =>
      Symbol.asyncDispose in value ? value[Symbol.asyncDispose]() : value[Symbol.dispose](),
    );
    return value;
  }

  /** Registers a release step. When the scope is closed, runs it and throws {@link BugError}. */
  defer(label: string, release: () => unknown): void {
    const step = { label, release };
    if (this.isClosed) {
      void this.#releaseLate(step);
      throw new BugError(`scope is closed; "${label}" cannot be added`);
    }
    this.#steps.push(step);
  }

  /** Hands everything owned to a new scope; this one is left empty and open. */
  move(): Scope {
    if (this.isClosed) throw new BugError("scope is closed; nothing can be moved");
    const next = new Scope(this.#options);
    next.#steps = this.#steps;
    this.#steps = [];
    return next;
  }

  /** Releases everything, last acquired first. Never throws: failures are returned and told to `onFailure`. */
  close(): Promise<readonly TeardownFailure[]> {
    // Closed before the first step runs, so that a step sees a closed scope whatever it calls.
    this.#closing ??= Promise.resolve().then(() => this.#release());
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #release(): Promise<readonly TeardownFailure[]> {
    const failures: TeardownFailure[] = [];
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
      const failure = await this.#runStep(step);
      if (failure === undefined) continue;
      failures.push(failure);
      await this.#report(failure);
    }
    return failures;
  }

  async #report(failure: TeardownFailure): Promise<void> {
    const told = Promise.resolve(failure).then(this.#options.onFailure);
    await ignore(told, "who reports a failure must not stop the teardown");
  }

  /** What came too late is released at once: its maker has given it away and will not do it. */
  async #releaseLate(step: Step): Promise<void> {
    const failure = await this.#runStep(step);
    if (failure !== undefined) await this.#report(failure);
  }

  async #runStep(step: Step): Promise<TeardownFailure | undefined> {
    const { stepDeadlineMs = DEFAULT_TEARDOWN_STEP_MS, clock = systemClock } = this.#options;
    try {
      const work = Promise.resolve(step.release());
      await withDeadline(work, {
        what: `teardown of ${step.label}`,
        timeoutMs: stepDeadlineMs,
        clock,
      });
      return undefined;
    } catch (error) {
      return { label: step.label, error };
    }
  }
}

/** One line per failure, for logs and for the error's companion text. */
export function describeTeardown(failures: readonly TeardownFailure[]): readonly string[] {
  return failures.map((failure) => `${failure.label}: ${messageOf(failure.error)}`);
}
