/** Finds the root of the package that this code came in: where images/ and scripts/ lie. */
import { access } from "node:fs/promises";
import { dirname, join } from "node:path";
import { BugError, systemCode } from "../base/errors.ts";
import { type HostPath, parseHostPath } from "../base/ids.ts";

/** Directories between a built chunk, or a source file, and the root. */
const MAX_LEVELS = 4;

/** The nearest directory above this file that holds images/. Throws BugError when the package was shipped without. */
export async function findPackageRoot(start: string = import.meta.dirname): Promise<HostPath> {
  let directory = start;
  for (let level = 0; level < MAX_LEVELS; level += 1) {
    if (await exists(join(directory, "images/sidecars/Dockerfile")))
      return parseHostPath(directory);
    directory = dirname(directory);
  }
  throw new BugError(`images/sidecars/Dockerfile was not found above ${start}`, {
    hint: "install the package again",
  });
}

async function exists(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch (error) {
    if (systemCode(error) === "ENOENT" || systemCode(error) === "ENOTDIR") return false;
    throw error;
  }
}
