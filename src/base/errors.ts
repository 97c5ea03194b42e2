/**
 * The error classes. Exceptions mean "could not do what you asked"; expected outcomes are values instead.
 * Message grammar: what failed: what was seen; what was expected. Lower-case start, no full stop, values quoted.
 */
import { type CodeOf, ERROR_CODES, type ErrorCode, type ErrorKind } from "./error-codes.ts";

/** Printable facts about a failure. Never holds a secret. */
export type Details = Readonly<
  Record<string, string | number | boolean | readonly string[] | undefined>
>;

export interface ErrorOptions {
  /** The next command or edit, imperative. */
  readonly hint?: string | undefined;
  readonly details?: Details | undefined;
  readonly cause?: unknown;
}

/** Root of every error that bot-bottle throws on purpose. */
export abstract class BottleError extends Error {
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly details: Details;

  constructor(code: ErrorCode, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = new.target.name;
    this.code = code;
    this.hint = options.hint;
    this.details = options.details ?? {};
  }

  /** The class of the code, which decides the exit status. */
  get kind(): ErrorKind {
    return ERROR_CODES[this.code].kind;
  }
}

/** Wrong flags or arguments. */
export class UsageError extends BottleError {
  constructor(code: CodeOf<"usage">, message: string, options?: ErrorOptions) {
    super(code, message, options);
  }
}

/** One fault in a manifest file; line and column are 1-based and count in the file, not in its YAML block. */
export interface Issue {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  /** Dotted path of the key, such as `egress.routes[0].host`. */
  readonly path: string;
  /** What is wrong, in the message grammar. */
  readonly message: string;
  readonly hint: string | undefined;
}

/** A manifest is unreadable or invalid; `issues` holds all faults at once. */
export class ManifestError extends BottleError {
  readonly issues: readonly Issue[];

  constructor(
    code: CodeOf<"manifest">,
    message: string,
    options: ErrorOptions & { readonly issues?: readonly Issue[] } = {},
  ) {
    super(code, message, options);
    this.issues = options.issues ?? [];
  }
}

/** The machine lacks something: a program, a right, disk space. */
export class HostError extends BottleError {
  constructor(code: CodeOf<"host">, message: string, options?: ErrorOptions) {
    super(code, message, options);
  }
}

/** A stage of a launch failed; `details` carries stage, argv, exit and the tail of stderr where there is one. */
export class LaunchError extends BottleError {
  constructor(code: CodeOf<"launch">, message: string, options?: ErrorOptions) {
    super(code, message, options);
  }
}

/** An SDK call asked for what policy forbids. */
export class PolicyDeniedError extends BottleError {
  constructor(code: CodeOf<"denied">, message: string, options?: ErrorOptions) {
    super(code, message, options);
  }
}

/** A daemon died or did not become ready; the bottle is closed, not left open. */
export class SidecarError extends BottleError {
  constructor(code: CodeOf<"sidecar">, message: string, options?: ErrorOptions) {
    super(code, message, options);
  }
}

/** A peer spoke wrongly; carries the shape of what it sent, never the content. */
export class ProtocolError extends BottleError {
  constructor(code: CodeOf<"protocol">, message: string, options?: ErrorOptions) {
    super(code, message, options);
  }
}

/** Names what was waited for, how long, and the setting that changes it. */
export class TimeoutError extends BottleError {
  constructor(message: string, options?: ErrorOptions) {
    super("timeout.deadline", message, options);
  }
}

/** Stopped by a signal; `signal` is its name, such as `SIGINT`. */
export class CancelledError extends BottleError {
  readonly signal: NodeJS.Signals | undefined;

  constructor(
    message: string,
    options: ErrorOptions & { readonly signal?: NodeJS.Signals | undefined } = {},
  ) {
    super("cancelled.signal", message, options);
    this.signal = options.signal;
  }
}

/** An invariant of ours broke. */
export class BugError extends BottleError {
  constructor(message: string, options?: ErrorOptions) {
    super("bug.invariant", message, {
      hint: "please report this with the output of BOT_BOTTLE_DEBUG=1",
      ...options,
    });
  }
}

/** The system error code (`ENOENT`, …) of a caught value, or undefined. */
export function systemCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !("code" in error)) return undefined;
  return typeof error.code === "string" ? error.code : undefined;
}

/** The message of a caught value, whatever it is. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
