/** Removes the container and the image's name that a guest of a dead owner left. Only what carries our label is touched, whatever a record says. */
import { isOfHomesBottle } from "../../base/labels.ts";
import type { Engine } from "../../engine/contract.ts";
import { openEngine } from "../../engine/engine.ts";
import type { BackendPorts, GuestResources } from "../contract.ts";
import { IMAGE_KIND, reapName } from "./image-name.ts";
import { isGuest } from "./names.ts";

/** Kind of engine object in the records of guests. */
export const CONTAINER_KIND = "container";

/** Ends and removes what is left. Throws HostError when the engine cannot be reached, so that the next cleanup tries again. */
export async function reapDocker(resources: GuestResources, ports: BackendPorts): Promise<void> {
  const names = resources.objects[CONTAINER_KIND] ?? [];
  const images = resources.objects[IMAGE_KIND] ?? [];
  if (names.length + images.length === 0) return;
  using engine = await openEngine(ports.env);
  for (const name of names) {
    if (await removeOurs(engine, name, ports.homeId)) continue;
    ports.log.warn("a container was left: it is not a guest's of this home", { name });
  }
  for (const name of images) await reapName(engine, name);
}

/** False when the container is somebody else's; true when it is gone. */
export async function removeOurs(
  engine: Engine,
  name: string,
  homeId: string | undefined,
): Promise<boolean> {
  const found = await engine.containers.inspect(name);
  if (found === undefined) return true;
  const { Labels } = found.Config;
  if (!isGuest(Labels) || !isOfHomesBottle(Labels, homeId)) return false;
  await engine.containers.remove(found.Id);
  return true;
}
