/** Makes a directory with its parents, one by one: Node's own way never returns below /proc, where nothing can be made. */
import { mkdirSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { HostError, systemCode } from "./errors.ts";

/** Makes `path`, and what is missing above it, with `mode`. Throws a system error, or HostError `host.unwritable`. */
export function makeDirectory(path: string, mode = 0o700): void {
  if (isMade(path, mode)) return;
  const parent = dirname(path);
  if (parent !== path) makeDirectory(parent, mode);
  if (parent !== path && isMade(path, mode)) return;
  throw new HostError("host.unwritable", `cannot make ${path}: nothing can be made there`, {
    hint: "set BOT_BOTTLE_HOME to a directory of yours",
  });
}

/** False when its parent is missing. */
function isMade(path: string, mode: number): boolean {
  try {
    mkdirSync(path, { mode });
    return true;
  } catch (error) {
    const code = systemCode(error);
    if (code === "ENOENT") return false;
    // A file system that is read-only or not ours says so even of a directory that is there.
    if (!isDirectory(path)) throw error;
    return true;
  }
}

function isDirectory(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    return false;
  }
}
