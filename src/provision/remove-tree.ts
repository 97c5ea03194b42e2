/**
 * Removes a tree in which a guest has worked. A directory without write permission (Go's module cache, a chmod of the
 * agent's) would keep its owner from removing what is in it.
 */
import { chmodSync } from "node:fs";
import { rm } from "node:fs/promises";
import { systemCode } from "../base/errors.ts";
import { toBuffer, toBytePath } from "./byte-path.ts";
import { timeSlices } from "./time-slice.ts";
import { listDirectory } from "./work-kept.ts";

/** Removes it, links unfollowed; nothing there is no error. Rejects with the system error of what stays. */
export async function removeTree(path: string): Promise<void> {
  try {
    await rm(path, { recursive: true, force: true, maxRetries: 3 });
  } catch (error) {
    if (systemCode(error) !== "EACCES" && systemCode(error) !== "EPERM") throw error;
    await unlockDirectories(path);
    await rm(path, { recursive: true, force: true, maxRetries: 3 });
  }
}

async function unlockDirectories(path: string): Promise<void> {
  const pause = timeSlices(undefined);
  const pending = [toBytePath(path)];
  for (let at = pending.pop(); at !== undefined; at = pending.pop()) {
    chmodSync(toBuffer(at), 0o700);
    for (const entry of listDirectory(at)) {
      if (entry.isDirectory()) pending.push(`${at}/${entry.name}`);
    }
    await pause();
  }
}
