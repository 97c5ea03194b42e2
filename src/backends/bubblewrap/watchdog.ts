/**
 * Holds a guest to a memory limit where no control group can: looks at what its processes and its tmpfs use, and kills.
 * A look is taken every 200 ms, so a limit held in this way is labelled `watched`; kernel memory behind sockets and pipes is
 * not seen.
 */
import { readdir, readFile, readlink, stat, statfs } from "node:fs/promises";
import type { Clock } from "../../base/clock.ts";
import type { Logger } from "../../base/log.ts";

/** Time between looks: long enough to cost under one per cent, short against the seconds a machine needs to swap. */
export const WATCH_INTERVAL_MS = 200;
/** Bytes of kernel memory that one file of a tmpfs costs beside its content. */
const INODE_BYTES = 1024;
const TMPFS_MOUNTS = ["tmp", "run", "dev/shm"];

export interface WatchOptions {
  /** The guest's first process, as a pid of ours. */
  readonly hostPid: number;
  readonly limitBytes: number;
  readonly clock: Clock;
  readonly log: Logger;
  /** Ends the watch. */
  readonly signal: AbortSignal;
  /** Called once, with what was used. */
  readonly onExceeded: (usedBytes: number) => void;
}

/** Watches until the signal, or until the limit is passed; settles then and never rejects. */
export async function watchMemory(options: WatchOptions): Promise<void> {
  const { hostPid, limitBytes, clock, signal } = options;
  while (!signal.aborted) {
    const used = await readUsage(hostPid, limitBytes);
    if (used > limitBytes) {
      options.log.warn("the guest used more memory than its limit", { used, limit: limitBytes });
      options.onExceeded(used);
      return;
    }
    await clock
      .sleep(WATCH_INTERVAL_MS, signal)
      .catch(() => options.log.debug("memory watch ended"));
  }
}

/** Bytes in use. The cheap upper bound (resident sets, shared pages counted often) is asked first. */
export async function readUsage(hostPid: number, limitBytes: number): Promise<number> {
  const root = `/proc/${hostPid}/root`;
  const pids = await listPids(`${root}/proc`);
  const files =
    (await sum(TMPFS_MOUNTS, (path) => tmpfsBytes(`${root}/${path}`))) +
    (await memfdBytes(root, pids));
  const resident = await sum(pids, (pid) => residentBytes(`${root}/proc/${pid}`));
  if (resident + files <= limitBytes) return resident + files;
  return files + (await sum(pids, (pid) => proportionalBytes(`${root}/proc/${pid}`)));
}

async function sum<T>(items: readonly T[], bytesOf: (item: T) => Promise<number>): Promise<number> {
  let total = 0;
  for (const item of items) total += await bytesOf(item);
  return total;
}

/** Everything here may vanish between two calls: a guest that is gone uses nothing. */
async function orElse<T>(work: Promise<T>, otherwise: T): Promise<T> {
  try {
    return await work;
  } catch {
    return otherwise;
  }
}

async function listPids(proc: string): Promise<readonly string[]> {
  return (await orElse(readdir(proc), [])).filter((name) => /^\d+$/.test(name));
}

function kibibytes(text: string, field: string): number | undefined {
  const match = new RegExp(`^${field}:\\s+(\\d+) kB$`, "m").exec(text);
  return match === null ? undefined : Number(match[1]) * 1024;
}

/** Page tables too: a guest can make them larger than what they map. */
async function residentBytes(
  process: string,
  fields: readonly string[] = ["VmRSS", "VmSwap", "VmPTE"],
): Promise<number> {
  const status = await orElse(readFile(`${process}/status`, "utf8"), "");
  return fields.reduce((total, field) => total + (kibibytes(status, field) ?? 0), 0);
}

async function proportionalBytes(process: string): Promise<number> {
  const text = await orElse(readFile(`${process}/smaps_rollup`, "utf8"), "");
  const used = kibibytes(text, "Pss");
  // A process that hides its maps counts with everything it has resident.
  if (used === undefined) return residentBytes(process);
  return used + (kibibytes(text, "SwapPss") ?? 0) + (await residentBytes(process, ["VmPTE"]));
}

async function tmpfsBytes(path: string): Promise<number> {
  const found = await orElse(statfs(path), undefined);
  if (found === undefined) return 0;
  return (found.blocks - found.bfree) * found.bsize + (found.files - found.ffree) * INODE_BYTES;
}

/** Files that live in memory only and are held by a descriptor, mapped or not. */
async function memfdBytes(root: string, pids: readonly string[]): Promise<number> {
  const seen = new Map<number, number>();
  for (const pid of pids) {
    const directory = `${root}/proc/${pid}/fd`;
    for (const fd of await orElse(readdir(directory), [])) {
      const target = await orElse(readlink(`${directory}/${fd}`), "");
      if (!target.startsWith("/memfd:")) continue;
      const found = await orElse(stat(`${directory}/${fd}`), undefined);
      if (found?.isFile() === true) seen.set(found.ino, found.blocks * 512);
    }
  }
  return [...seen.values()].reduce((total, bytes) => total + bytes, 0);
}
