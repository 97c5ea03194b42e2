/** What is wrong with the settings of image builds before anything is built. Reads only. */
import { statSync } from "node:fs";
import { BottleError, LaunchError, messageOf } from "../base/errors.ts";
import type { ImagePorts } from "./contract.ts";
import { parseBuildSettings } from "./resolve-build.ts";

/** The faults, each with what to do. */
export function findBuildFaults(
  env: ImagePorts["env"],
): readonly { readonly what: string; readonly hint: string | undefined }[] {
  try {
    const { buildCa } = parseBuildSettings(env);
    if (buildCa !== undefined) requireBuildCa(buildCa);
    return [];
  } catch (error) {
    if (!(error instanceof BottleError)) throw error;
    return [{ what: messageOf(error), hint: error.hint }];
  }
}

/** Throws LaunchError `launch.image` when there is no such file. */
export function requireBuildCa(path: string): void {
  if (statSync(path, { throwIfNoEntry: false })?.isFile() === true) return;
  throw new LaunchError(
    "launch.image",
    `BOT_BOTTLE_BUILD_CA is "${path}", which is no file; a PEM file of certificates is expected`,
    { hint: "set it to the roots that package managers need, or unset it: see docs/images.md" },
  );
}
