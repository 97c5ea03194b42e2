/** Writes a first bottle and agent under the operator's home. Nothing is written when one of the files is in the way. */
import { constants } from "node:fs";
import { access, rename, unlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { BottleError, HostError, systemCode, UsageError } from "../base/errors.ts";
import { ignore } from "../base/log.ts";
import { makeDirectory } from "../base/make-directory.ts";
import type { HomePaths, Preset } from "../index.ts";

/** Where a preset was written. */
export interface PresetFiles {
  readonly bottle: string;
  readonly agent: string;
}

/** Writes both files. Throws UsageError `usage.path` for one that exists, unless replacing is wanted, or HostError. */
export async function writePreset(
  home: HomePaths,
  preset: Preset,
  options: { readonly isReplacing: boolean },
): Promise<PresetFiles> {
  const files: PresetFiles = {
    bottle: join(home.bottles, `${preset.bottleName}.md`),
    agent: join(home.agents, `${preset.agentName}.md`),
  };
  try {
    if (!options.isReplacing)
      for (const file of [files.bottle, files.agent]) await refuseExisting(file);
    await writeWhole(files.bottle, preset.bottle);
    await writeWhole(files.agent, preset.agent);
  } catch (error) {
    throw writeError(error, home);
  }
  return files;
}

async function refuseExisting(file: string): Promise<void> {
  try {
    await access(file, constants.F_OK);
  } catch (error) {
    if (systemCode(error) === "ENOENT") return;
    throw error;
  }
  throw new UsageError("usage.path", `nothing written: ${file} exists already`, {
    hint: "add --name for another name, or --force to replace it",
  });
}

/** Beside it and renamed, so that nobody reads half a file. */
async function writeWhole(file: string, text: string): Promise<void> {
  makeDirectory(dirname(file));
  const temporary = `${file}.${process.pid}.new`;
  try {
    await writeFile(temporary, text, { mode: 0o600, flag: "wx" });
    await rename(temporary, file);
  } catch (error) {
    await ignore(unlink(temporary), "the first error is the one to tell");
    throw error;
  }
}

function writeError(error: unknown, home: HomePaths): unknown {
  const code = systemCode(error);
  if (error instanceof BottleError || code === undefined) return error;
  if (code === "ENOSPC" || code === "EDQUOT") {
    return new HostError("host.disk-full", `cannot write below ${home.home}: the disk is full`, {
      hint: "free some space, or set BOT_BOTTLE_HOME to a directory on another disk",
      cause: error,
    });
  }
  return new HostError("host.unwritable", `cannot write below ${home.home}: ${code}`, {
    hint: "check its owner and mode, or set BOT_BOTTLE_HOME",
    cause: error,
  });
}
