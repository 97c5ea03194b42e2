/**
 * What the guest's /etc has of the host's as copies: release, time zone, tables. A list of names, not the rest: the host's
 * /etc also holds accounts, keys and addresses. Whole directories (alternatives, fonts, Java's settings) are not copied:
 * the backend that shows the host's /usr binds them.
 */
import { chmodSync, copyFileSync, statSync } from "node:fs";
import { join } from "node:path";

const NAMES = [
  "os-release",
  "debian_version",
  "localtime",
  "protocols",
  "services",
  "mime.types",
] as const;
/** Largest file that is copied; every file meant here is far smaller. */
const MAX_FILE_BYTES: number = 4 * 1024 * 1024;

/**
 * Copies the listed files to `target`, which must exist: what every user may read, and nothing else. Links lead out of /etc
 * (localtime, os-release) and are resolved. Throws the system error when the target cannot be written.
 */
export function copyHostEtc(target: string, hostEtc = "/etc"): void {
  for (const name of NAMES) {
    const from = join(hostEtc, name);
    const stats = statSync(from, { throwIfNoEntry: false });
    const isCopied =
      stats?.isFile() === true && (stats.mode & 0o004) !== 0 && stats.size <= MAX_FILE_BYTES;
    if (!isCopied) continue;
    copyFileSync(from, join(target, name));
    chmodSync(join(target, name), 0o644);
  }
}
