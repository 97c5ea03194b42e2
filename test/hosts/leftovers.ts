// Finds what restored hosts have left behind: folders and emulators of processes that have ended. Run as a program it ends with 1 where
// there is any.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Begins the name of a restored host's folder; the pid of its owner follows. */
export const RUN_PREFIX = "bb-host-";

/** Folders whose owners have ended. */
export function findDeadRuns(): readonly string[] {
  return readdirSync(tmpdir())
    .filter(isDead)
    .map((name) => join(tmpdir(), name));
}

/** Emulators whose owners have ended. */
function findDeadEmulators(): readonly string[] {
  return readdirSync("/proc")
    .filter((it) => /^\d+$/.test(it))
    .map((pid) => ({ pid, argv: readArgv(pid) }))
    .filter(({ argv }) => argv.startsWith("qemu-system-") && isDead(argv))
    .map(({ pid, argv }) => `${pid} ${argv.slice(0, 200)}`);
}

function isDead(text: string): boolean {
  const pid = new RegExp(`${RUN_PREFIX}(\\d+)-`).exec(text)?.[1];
  return pid !== undefined && !existsSync(`/proc/${pid}`);
}

/** Empty for a process that is gone meanwhile. */
function readArgv(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "latin1").replaceAll("\0", " ");
  } catch (error) {
    void error;
    return "";
  }
}

if (import.meta.main) {
  const left = [...findDeadRuns(), ...findDeadEmulators()];
  for (const one of left) console.error(`left by the emulated host: ${one}`);
  process.exitCode = left.length === 0 ? 0 : 1;
}
