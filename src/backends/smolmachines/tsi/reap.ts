/** Removes what packing an image left on the engine when its owner died. Touches only what is labelled ours. */
import type { Engine } from "../../../engine/contract.ts";
import { openEngine } from "../../../engine/engine.ts";
import type { BackendPorts, GuestResources } from "../../contract.ts";

const BOTTLE_LABEL = "bot-bottle.bottle";

/** Kinds of objects on the engine that a record names. */
export const ENGINE_OBJECTS = {
  container: "smolvm-pack-container",
  network: "smolvm-pack-network",
} as const;

/** Removes containers first, because networks cannot go before them. Throws HostError when the engine is not there. */
export async function reapPacking(
  { objects }: GuestResources,
  ports: Pick<BackendPorts, "env">,
): Promise<void> {
  const containers = objects[ENGINE_OBJECTS.container] ?? [];
  const networks = objects[ENGINE_OBJECTS.network] ?? [];
  if (containers.length + networks.length === 0) return;
  using engine = await openEngine(ports.env);
  for (const name of containers) await removeContainer(engine, name);
  for (const name of networks) await removeNetwork(engine, name);
}

async function removeContainer(engine: Engine, name: string): Promise<void> {
  const found = await engine.containers.inspect(name);
  if (found !== undefined && BOTTLE_LABEL in found.Config.Labels)
    await engine.containers.remove(found.Id);
}

async function removeNetwork(engine: Engine, name: string): Promise<void> {
  const found = await engine.networks.inspect(name);
  if (found !== undefined && BOTTLE_LABEL in found.Labels) await engine.networks.remove(name);
}
