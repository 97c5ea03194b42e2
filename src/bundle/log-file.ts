/** The file that holds what a bundle writes to stderr: its owner's alone, appended to, never a link's target. */
import { constants, openSync } from "node:fs";

/** Opens the log for appending; returns its descriptor. */
export function openLogFile(path: string): number {
  const { O_WRONLY, O_CREAT, O_APPEND, O_NOFOLLOW } = constants;
  return openSync(path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0o600);
}

/** Makes the audit file, because it is bound as a file and has to exist. */
export function ensureAuditFile(path: string): number {
  const { O_RDWR, O_CREAT, O_NOFOLLOW } = constants;
  return openSync(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0o600);
}
