/**
 * The lease: guest-init lives as long as its connection to the owner. When that ends, whatever the reason, every session is
 * killed and guest-init exits, and with it the guest. The terminal's signals change nothing: the owner decides.
 */
import type { ProtocolError } from "../base/errors.ts";

/** Signals that a shared terminal or its hangup sends to us too. */
const TERMINAL_SIGNALS = ["SIGINT", "SIGQUIT", "SIGHUP", "SIGTERM"] as const;

export interface LeaseOptions {
  /** Settles when the connection is gone. */
  readonly closed: Promise<ProtocolError | undefined>;
  readonly onSignal: (signal: NodeJS.Signals, listener: () => void) => unknown;
  /** Kills all sessions, synchronously. */
  readonly killAll: () => void;
  /** Ends this process. */
  readonly exit: (code: number) => void;
}

/** Holds the lease until the connection ends. */
export function holdLease(options: LeaseOptions): void {
  for (const signal of TERMINAL_SIGNALS) options.onSignal(signal, () => undefined);
  void options.closed.then((fault) => {
    options.killAll();
    options.exit(fault === undefined ? 0 : 1);
  });
}
