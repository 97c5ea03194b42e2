/** Moves a plan to its next subnet where the engine finds an overlap that planning could not see. */
import { LaunchError } from "../base/errors.ts";
import { guestEtc } from "../provision/etc.ts";
import type { Bottle } from "./bottle.ts";
import { type LaunchOptions, launch } from "./launch.ts";
import type { BottlePlan } from "./plan.ts";
import { doorAddressOf, nextNetwork } from "./resolve-network.ts";

/** Launches a plan, in its other subnets too; all of the failed launch is gone before the next. Throws as `launch` does. */
export async function launchWhereFree(plan: BottlePlan, options: LaunchOptions): Promise<Bottle> {
  for (let current = plan; ; ) {
    try {
      return await launch(current, options);
    } catch (error) {
      const isTaken = error instanceof LaunchError && error.code === "launch.no-subnet";
      const moved = isTaken ? moveNetwork(current) : undefined;
      if (moved === undefined) throw error;
      options.ports.log.info("the bottle's subnet is taken", {
        subnet: current.guest.network?.subnet,
        next: moved.guest.network?.subnet,
      });
      current = moved;
    }
  }
}

/** The plan with its network in the next subnet; undefined when there is none. Pure. */
export function moveNetwork(plan: BottlePlan): BottlePlan | undefined {
  const { network, doors } = plan.guest;
  const next = network === undefined ? undefined : nextNetwork(network);
  if (next === undefined) return undefined;
  return {
    ...plan,
    guest: { ...plan.guest, network: next },
    bundle: { ...plan.bundle, network: next },
    etc: guestEtc({
      hostname: plan.id,
      doors,
      doorAddress: doorAddressOf(plan.attachment, next),
    }),
  };
}
