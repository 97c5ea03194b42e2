/** Removes what the bundle of a dead owner left on the engine. Tolerates that any of it is gone; touches only what is labelled ours. */
import { isOfHomesBottle } from "../base/labels.ts";
import { openEngine } from "../engine/engine.ts";
import { removeNetwork } from "./container-network.ts";
import type { BundlePorts } from "./contract.ts";

/** Names of engine objects by kind, as a bundle records them. */
export type BundleObjects = Readonly<Record<string, readonly string[]>>;

/** Removes containers first, because networks cannot go before them. Throws HostError when the engine is not there. */
export async function reapBundle(
  objects: BundleObjects,
  ports: Pick<BundlePorts, "clock" | "log" | "env"> & { readonly homeId?: string | undefined },
): Promise<void> {
  using engine = await openEngine(ports.env);
  for (const name of objects["container"] ?? []) {
    const found = await engine.containers.inspect(name);
    if (found !== undefined && isOfHomesBottle(found.Config.Labels, ports.homeId))
      await engine.containers.remove(found.Id);
  }
  for (const name of objects["network"] ?? []) {
    const found = await engine.networks.inspect(name);
    if (found !== undefined && isOfHomesBottle(found.Labels, ports.homeId))
      await removeNetwork(engine, name, ports);
  }
}
