/** Removes what packing an image left on the engine when its owner died. Touches only what is labelled ours. */
import { isOfHomesBottle } from "../../../base/labels.ts";
import type { Engine } from "../../../engine/contract.ts";
import { openEngine } from "../../../engine/engine.ts";
import type { BackendPorts, GuestResources } from "../../contract.ts";

/** Kinds of objects on the engine that a record names. */
export const ENGINE_OBJECTS = {
  container: "smolvm-pack-container",
  network: "smolvm-pack-network",
} as const;

/** Removes containers first, because networks cannot go before them. Throws HostError when the engine is not there. */
export async function reapPacking(
  { objects }: GuestResources,
  ports: Pick<BackendPorts, "env" | "homeId">,
): Promise<void> {
  const containers = objects[ENGINE_OBJECTS.container] ?? [];
  const networks = objects[ENGINE_OBJECTS.network] ?? [];
  if (containers.length + networks.length === 0) return;
  using engine = await openEngine(ports.env);
  await removePacking(engine, { containers, networks }, ports.homeId);
}

/** Names of what packing makes on an engine. */
export interface PackingObjects {
  readonly containers: readonly string[];
  readonly networks: readonly string[];
}

/** Removes what of these is this home's; what is another's, or nobody's of ours, stays. */
export async function removePacking(
  engine: Engine,
  { containers, networks }: PackingObjects,
  homeId: string | undefined,
): Promise<void> {
  for (const name of containers) {
    const found = await engine.containers.inspect(name);
    if (found !== undefined && isOfHomesBottle(found.Config.Labels, homeId))
      await engine.containers.remove(found.Id);
  }
  for (const name of networks) {
    const found = await engine.networks.inspect(name);
    if (found !== undefined && isOfHomesBottle(found.Labels, homeId))
      await engine.networks.remove(found.Id);
  }
}
