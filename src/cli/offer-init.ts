/** `start claude` on a fresh machine: no agent of that name exists, but a preset does. */
import { ManifestError } from "../base/errors.ts";
import { PRESET_NAMES, presetNamed } from "../index.ts";
import { askYesNo, hasTerminal } from "./ask.ts";
import type { CommandIo } from "./command.ts";
import { writePreset } from "./preset-files.ts";

/** Returns after the preset was written, so that the start can be tried again. Throws the error otherwise, with the way out. */
export async function offerInit(
  error: unknown,
  agent: string,
  options: { readonly io: CommandIo; readonly canAsk: boolean },
): Promise<void> {
  const { io, canAsk } = options;
  const isMissing = error instanceof ManifestError && error.code === "manifest.unknown-agent";
  if (!isMissing || !PRESET_NAMES.includes(agent)) throw error;
  const preset = presetNamed(agent);
  const wantsIt =
    canAsk &&
    hasTerminal() &&
    (await askYesNo(`There is no agent "${agent}" yet. Write a first one?`, io.signal));
  if (preset === undefined || !wantsIt) {
    throw new ManifestError("manifest.unknown-agent", error.message, {
      hint: `write a first one: bot-bottle init ${agent} --yes`,
      cause: error,
    });
  }
  const files = await writePreset(io.env.home, preset, { isReplacing: false });
  io.output.note(`wrote ${files.bottle} and ${files.agent}`);
}
