/** The one funnel: turns any thrown thing into text on stderr or JSON, and into an exit status. */
import { constants } from "node:os";
import { EXIT_OWN_FAILURE, EXIT_STATUS } from "../base/error-codes.ts";
import {
  BottleError,
  BugError,
  CancelledError,
  HostError,
  ManifestError,
  messageOf,
  systemCode,
} from "../base/errors.ts";
import type { ExitStatus } from "../process/exec.ts";
import { quoteShell } from "../process/quote-shell.ts";
import { cleanLine, cleanText } from "./clean-text.ts";
import { cwdGone } from "./env.ts";
import type { Output } from "./output.ts";

/** Status of a program that ended by a signal, as shells give it. */
export function signalStatus(signal: string): number {
  const numbers: Readonly<Record<string, number>> = constants.signals;
  return 128 + (numbers[signal] ?? 0);
}

/** The exit status of what goes on until a signal ends it: that is no failure and needs no message. */
export function endedStatus(signal: AbortSignal): number {
  if (!signal.aborted) return 0;
  const { reason } = signal as { readonly reason: unknown };
  return signalStatus((reason instanceof CancelledError ? reason.signal : undefined) ?? "SIGINT");
}

/** The exit status that passes a program's end through. */
export function statusOf(exit: ExitStatus): number {
  return exit.signal === undefined ? (exit.exitCode ?? 0) : signalStatus(exit.signal);
}

/** 127 or 126, as shells answer for a program that cannot be executed; undefined for any other failure. */
export function notExecutableStatus(error: unknown): number | undefined {
  if (!(error instanceof BottleError)) return undefined;
  const { code } = error.details;
  if (code === "ENOENT") return 127;
  return code === "EACCES" || code === "ENOEXEC" ? 126 : undefined;
}

/** What is said of a program that ended so. */
export function notExecutableText(program: string, status: number): string {
  const why = status === 127 ? "was not found" : "cannot be executed";
  return `bot-bottle: "${cleanLine(program)}" ${why} in the bottle`;
}

/** How to look for it; `how` is the command that runs a program in such a bottle. */
export function notExecutableHint(program: string, status: number, how: string): string {
  const look = status === 127 ? "/usr/local/bin /usr/bin" : `-ld ${quoteShell(cleanLine(program))}`;
  const what = status === 127 ? "see what is there" : "see what it is";
  return `hint: ${what}: ${how} -- ls ${look}`;
}

/** How a failure is told. */
export interface FailureOptions {
  readonly isJson: boolean;
  /** The command passes the agent's status through, so ours is 125. */
  readonly passesStatus: boolean;
  readonly isDebug: boolean;
}

/** Lines of each list in `details` that are shown. */
const MAX_DETAIL_LINES = 12;
/** Details that say more than the message does. */
const SHOWN_DETAILS = ["stderr", "log", "warnings"] as const;

/** Prints a failure and returns the exit status. */
export function reportFailure(thrown: unknown, output: Output, options: FailureOptions): number {
  const error = toBottleError(thrown);
  const status = failureStatus(error, options.passesStatus);
  // Where stdout itself is what failed, stderr is left.
  if (options.isJson && !output.isClosed()) output.json({ error: describeError(error, status) });
  else output.error(renderError(error, output, options.isDebug));
  return status;
}

/** A failure as `--json` shows it. */
export function describeFailure(thrown: unknown, passesStatus: boolean): Record<string, unknown> {
  const error = toBottleError(thrown);
  return describeError(error, failureStatus(error, passesStatus));
}

/** What the machine refuses is no bug of ours, even where nobody foresaw it; everything else is. */
function toBottleError(thrown: unknown): BottleError {
  if (thrown instanceof BottleError) return thrown;
  const code = systemCode(thrown);
  if (code === "ENOENT" && isAboutCwd(thrown)) return cwdGone(thrown);
  if (code === "ENOSPC" || code === "EDQUOT") {
    return new HostError("host.disk-full", `the disk is full: ${messageOf(thrown)}`, {
      hint: "free some space, then run bot-bottle cleanup",
      cause: thrown,
    });
  }
  if (code === "EACCES" || code === "EPERM" || code === "EROFS") {
    return new HostError("host.unwritable", `the system refuses access: ${messageOf(thrown)}`, {
      hint: "check owner and mode of that path, or set BOT_BOTTLE_HOME to a directory of yours",
      cause: thrown,
    });
  }
  return new BugError(messageOf(thrown), { cause: thrown });
}

/** A relative path was resolved in a directory that is gone. */
function isAboutCwd(thrown: unknown): boolean {
  return thrown instanceof Error && "syscall" in thrown && thrown.syscall === "uv_cwd";
}

function failureStatus(error: BottleError, passesStatus: boolean): number {
  if (error instanceof CancelledError && error.signal !== undefined) {
    return signalStatus(error.signal);
  }
  return passesStatus ? EXIT_OWN_FAILURE : EXIT_STATUS[error.kind];
}

function describeError(error: BottleError, status: number): Record<string, unknown> {
  return {
    code: error.code,
    message: error.message,
    hint: error.hint,
    details: error.details,
    issues: error instanceof ManifestError ? error.issues : undefined,
    status,
    by: "bot-bottle",
  };
}

function renderError(error: BottleError, output: Output, isDebug: boolean): string {
  const { color } = output;
  const head = `${color.red("error")} ${color.dim(`[${error.code}]`)} ${cleanText(error.message)}`;
  const lines = [head, ...renderIssues(error), ...renderDetails(error)];
  if (error.hint !== undefined) lines.push(`${color.yellow("hint")}: ${cleanText(error.hint)}`);
  if (isDebug || error instanceof BugError) lines.push(...stackOf(error).map(cleanText));
  return lines.join("\n");
}

/** Issues that the message does not hold already. */
function renderIssues(error: BottleError): string[] {
  if (!(error instanceof ManifestError)) return [];
  return error.issues
    .filter((issue) => !error.message.includes(issue.message))
    .map((issue) => `  ${issue.file}:${issue.line}:${issue.column}: ${issue.message}`)
    .map(cleanText);
}

function renderDetails(error: BottleError): string[] {
  return SHOWN_DETAILS.flatMap((name) => {
    const value = error.details[name];
    const lines = typeof value === "string" ? value.trimEnd().split("\n") : value;
    if (!Array.isArray(lines)) return [];
    return lines.slice(-MAX_DETAIL_LINES).map((line) => `  | ${cleanText(String(line))}`);
  });
}

function stackOf(error: Error): string[] {
  const lines = (error.stack ?? "").split("\n");
  return error.cause instanceof Error ? [...lines, "caused by:", ...stackOf(error.cause)] : lines;
}
