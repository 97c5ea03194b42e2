/** Loads the list of public suffixes from the file beside the bundle's own: no other bundle carries it, for its size. */
import { dirname, join } from "node:path";
import { systemCode } from "../base/errors.ts";

/** Tells whether names directly below a host can be registered by strangers. */
export type IsOpenToStrangers = (host: string) => boolean;

/** Name of the file. */
const FILE = "suffixes.js";

/** Loads it; undefined where it is not there, and then nothing can be said of any host. */
export function loadSuffixes(entryFile: string): IsOpenToStrangers | undefined {
  const { createRequire } = process.getBuiltinModule("node:module");
  try {
    const loaded: unknown = createRequire(entryFile)(join(dirname(entryFile), FILE));
    return isList(loaded) ? loaded.isOpenToStrangers : undefined;
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    return undefined;
  }
}

function isList(loaded: unknown): loaded is { readonly isOpenToStrangers: IsOpenToStrangers } {
  return (
    typeof loaded === "object" &&
    loaded !== null &&
    "isOpenToStrangers" in loaded &&
    typeof loaded.isOpenToStrangers === "function"
  );
}
