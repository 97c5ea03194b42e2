/** What a launch of a machine would lack, found by looking at the program and the device alone. */
import { BottleError, messageOf } from "../../base/errors.ts";
import type { BackendPorts, GuestPlan, Shortage } from "../contract.ts";
import { requireSockets } from "./features.ts";
import type { LookAtKvm } from "./kvm.ts";
import { openSmolvm, requireKvm } from "./prepare.ts";
import { requireTsi } from "./tsi/require-tsi.ts";

/** Looks at /dev/kvm and asks smolvm for its version. */
export async function lookAtSmolmachines(
  { attachment }: GuestPlan,
  ports: BackendPorts,
  lookAtKvm: LookAtKvm,
): Promise<readonly Shortage[]> {
  const checks: readonly (() => unknown)[] = [
    () => requireKvm(lookAtKvm),
    async () => {
      const { features } = await openSmolvm(ports, undefined);
      if (attachment === "tsi") requireTsi(features);
      else requireSockets(features);
    },
  ];
  const found = await Promise.all(checks.map(shortageOf));
  if (found.every((it) => it === undefined))
    ports.onSkipped?.("whether a machine boots here: the guest is the trial");
  return found.filter((it) => it !== undefined);
}

async function shortageOf(check: () => unknown): Promise<Shortage | undefined> {
  try {
    await check();
    return undefined;
  } catch (error) {
    if (!(error instanceof BottleError)) throw error;
    return { what: messageOf(error), hint: error.hint };
  }
}
