/** Holds a repository's agent to the trust rule before anything is planned with the operator's bottle. */
import { ManifestError } from "../base/errors.ts";
import type { HomePaths } from "../base/paths.ts";
import { readConfirmations, saveConfirmation } from "../manifest/read.ts";
import { decideTrust } from "../manifest/trust.ts";
import type { Manifest } from "../manifest/types.ts";

export interface TrustOptions {
  readonly home: HomePaths;
  /** Bottles that the operator named for this launch. */
  readonly namedBottles: readonly string[];
  /** Asks the operator; undefined where nobody can be asked. */
  readonly confirm: ((question: string) => Promise<boolean>) | undefined;
}

/** Returns when the agent may use its bottle. Throws ManifestError `manifest.untrusted`. */
export async function requireTrust(manifest: Manifest, options: TrustOptions): Promise<void> {
  const { home, namedBottles, confirm } = options;
  if (manifest.agent.origin === "home") return;
  const confirmations = await readConfirmations(home);
  const trust = decideTrust({
    agent: manifest.agent,
    namedBottles,
    confirmedDigests: new Set(confirmations.map((it) => it.digest)),
    isHeadless: confirm === undefined,
  });
  if (trust.kind === "refuse") throw trust.error;
  if (trust.kind === "trusted") return;
  const { bottle, file } = trust.confirmation;
  if ((await confirm?.(trust.question)) === true) return saveConfirmation(home, trust.confirmation);
  throw new ManifestError(
    "manifest.untrusted",
    `not started: ${file} may not use the bottle "${bottle}"`,
    {
      hint: `name the bottle yourself: --bottle ${bottle}`,
    },
  );
}
