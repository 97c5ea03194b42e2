/**
 * The Exec port: the only way any room runs a program. argv arrays, never a shell string; the child's environment is
 * exactly what is given; every child is in a group of its own and ends with its owner.
 */
import type { Readable, Writable } from "node:stream";
import type { Logger } from "../base/log.ts";

/** Where one of a child's file descriptors comes from. A number passes that descriptor of ours on. */
export type StdioEntry = "ignore" | "pipe" | "inherit" | number;

/** Milliseconds between SIGTERM and SIGKILL: the earlier system's grace for its daemons. */
export const DEFAULT_GRACE_MS = 8_000;
/** Bytes of stdout and of stderr that `run` keeps; more is an error, so that a flood cannot fill our memory. */
export const MAX_OUTPUT_BYTES: number = 8 * 1024 * 1024;
/** Lines of stderr that ride along in errors. */
export const STDERR_TAIL_LINES = 64;

export interface ExecOptions {
  readonly cwd?: string;
  /** The whole environment of the child. Nothing is inherited. */
  readonly env?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal | undefined;
  /** SIGTERM to SIGKILL, in milliseconds. */
  readonly graceMs?: number;
  /** Name in log lines, `[name pid] …`. */
  readonly name?: string;
  readonly log?: Logger;
}

export interface RunOptions extends ExecOptions {
  /** Written to stdin, which is then closed; without it stdin is /dev/null. */
  readonly input?: string | Uint8Array;
  readonly timeoutMs?: number;
  readonly maxOutputBytes?: number;
}

/** How a child ended. Exactly one of the two is set. */
export interface ExitStatus {
  readonly exitCode: number | undefined;
  readonly signal: NodeJS.Signals | undefined;
}

export interface RunResult extends ExitStatus {
  readonly stdout: Buffer;
  readonly stderr: Buffer;
}

export interface StartOptions extends ExecOptions {
  /** From descriptor 0 upwards; default ignore, pipe, pipe. */
  readonly stdio?: readonly StdioEntry[];
  /**
   * `group`: own process group, killed by group. `foreground`: stays in ours, so that it can share the terminal and gets
   * its Ctrl-C; killed by pid. `session`: a session of its own that may outlive us (a detached owner).
   */
  readonly placement?: "group" | "foreground" | "session";
}

/**
 * A running child. Disposing it climbs the kill ladder and waits for the exit. Take stdout and stderr before the next
 * `await` after start(): what nobody reads is thrown away when a child exits.
 */
export interface Child extends AsyncDisposable {
  readonly pid: number;
  /** Settles with the exit, never rejects; pipes are drained before, within a bound. */
  readonly exited: Promise<ExitStatus>;
  readonly stdin: Writable | undefined;
  readonly stdout: Readable | undefined;
  readonly stderr: Readable | undefined;
  /** Our end of a "pipe" at descriptor `fd` (3 and up); undefined when that entry is not a pipe. */
  pipe(fd: number): (Readable & Writable) | undefined;
  /** The last lines of stderr, when stderr is a pipe that nobody else reads. */
  stderrTail(): readonly string[];
  /** Sends one signal; false when it has exited. */
  kill(signal: NodeJS.Signals): boolean;
  /** SIGTERM, then SIGKILL after the grace; resolves with the exit. Idempotent. */
  terminate(graceMs?: number): Promise<ExitStatus>;
}

export interface Exec {
  /**
   * Runs a program to its end. A non-zero exit is a result, not an error. Throws HostError `host.binary-missing` when
   * argv[0] cannot be executed, TimeoutError, or the signal's reason.
   */
  run(argv: readonly string[], options?: RunOptions): Promise<RunResult>;
  /** Starts a program. Throws HostError `host.binary-missing` when argv[0] cannot be executed. */
  start(argv: readonly string[], options?: StartOptions): Promise<Child>;
}
