/** What an entry point does on SIGINT, SIGTERM and SIGHUP: first ask, then kill, then let the system have its way. */
import type { KillSet } from "./kill-set.ts";

/** Signals that ask this process to end. */
export const ENDING_SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
export type EndingSignal = (typeof ENDING_SIGNALS)[number];

/** Where signals are told. */
export interface SignalSource {
  on(signal: EndingSignal, listener: (signal: NodeJS.Signals) => void): unknown;
  off(signal: EndingSignal, listener: (signal: NodeJS.Signals) => void): unknown;
}

export interface SignalOptions {
  /** Called once, with the first signal: start closing. */
  readonly onFirst: (signal: NodeJS.Signals) => void;
  /** Killed at the second signal. After that signals act as if we had never listened. */
  readonly killSet: KillSet;
  readonly source?: SignalSource;
}

/** Listens until disposed. */
export function onSignals(options: SignalOptions): Disposable {
  const { onFirst, killSet, source = process } = options;
  let count = 0;
  const stop = (): void => {
    for (const signal of ENDING_SIGNALS) source.off(signal, onSignal);
  };
  const onSignal = (signal: NodeJS.Signals): void => {
    count += 1;
    if (count === 1) {
      onFirst(signal);
      return;
    }
    stop();
    killSet.killAll();
  };
  for (const signal of ENDING_SIGNALS) source.on(signal, onSignal);
  return { [Symbol.dispose]: stop };
}
