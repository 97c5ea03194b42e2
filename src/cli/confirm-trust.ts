/**
 * A repository's agent that asks for one of the operator's bottles. It counts only when the operator named the bottle, or said
 * yes to these very bytes once. `--yes` is about starting: it does not answer this question.
 */
import { ManifestError } from "../base/errors.ts";
import { decideTrust, type Manifest, readConfirmations, saveConfirmation } from "../index.ts";
import { askYesNo, hasTerminal } from "./ask.ts";
import { cleanLine } from "./clean-text.ts";
import type { CommandIo } from "./command.ts";

/** How the operator can be asked. */
export interface ConfirmOptions {
  readonly io: CommandIo;
  readonly isHeadless: boolean;
  /** Bottles given with `--bottle`. */
  readonly namedBottles: readonly string[];
  /** `--yes` was given. */
  readonly isYes: boolean;
}

/** Returns when the agent may use its bottle. Throws ManifestError `manifest.untrusted`. */
export async function confirmTrust(manifest: Manifest, options: ConfirmOptions): Promise<void> {
  const { io, isHeadless, namedBottles, isYes } = options;
  const { home } = io.env;
  const confirmations = await readConfirmations(home);
  const trust = decideTrust({
    agent: manifest.agent,
    namedBottles,
    confirmedDigests: new Set(confirmations.map((it) => it.digest)),
    isHeadless: isHeadless || !hasTerminal(),
  });
  if (trust.kind === "refuse") throw trust.error;
  if (trust.kind === "trusted") return;
  if (isYes) io.output.note("--yes does not answer this:");
  if (await askYesNo(`${cleanLine(trust.question)}?`, io.signal)) {
    await saveConfirmation(home, trust.confirmation);
    return;
  }
  const { bottle, file } = trust.confirmation;
  throw new ManifestError("manifest.untrusted", `not started: ${file} may not use the bottle "${bottle}"`, {
    hint: `name the bottle yourself: --bottle ${bottle}`,
  });
}
