/** What a launch of a bubblewrap guest would lack, found by looking at programs and settings alone. */
import { findBinary, installHint } from "../../process/find-binary.ts";
import type { BackendPorts, GuestPlan, Shortage } from "../contract.ts";
import { explainSettings, readUsernsSettings } from "./probe.ts";

/** Looks for the programs, and for settings that forbid user namespaces. */
export async function lookAtBubblewrap(
  _plan: GuestPlan,
  { searchPath, onSkipped }: BackendPorts,
): Promise<readonly Shortage[]> {
  const isRoot = process.getuid?.() === 0;
  const names = ["bwrap", ...(isRoot ? ["setpriv"] : [])];
  const found = await Promise.all(names.map((name) => findBinary(name, searchPath)));
  const missing = names.filter((_, index) => found[index] === undefined);
  const refusal = isRoot ? undefined : explainSettings(await readUsernsSettings());
  if (refusal === undefined && missing.length === 0)
    onSkipped?.("whether namespaces can be made here: the guest is the trial");
  return [
    ...missing.map((name) => ({ what: `${name} is not on PATH`, hint: installHint(name) })),
    ...(refusal === undefined ? [] : [{ what: refusal.reason, hint: refusal.hint }]),
  ];
}
