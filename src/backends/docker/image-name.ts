/** The name that the image of one bottle's own Dockerfile has: recorded before it is given, taken away when the bottle ends. */
import { IMAGE_FAMILY_LABEL } from "../../base/labels.ts";
import { ignore, type Logger } from "../../base/log.ts";
import type { Engine } from "../../engine/contract.ts";
import { engineStatus } from "../../engine/failure.ts";
import { releaseImage } from "../../images/ensure-image.ts";
import type { GuestPlan } from "../contract.ts";

/** Kind of this engine object in the records of guests. */
export const IMAGE_KIND = "image";
const CONFLICT = 409;
/** Other tags than a bottle's slug are for all bottles. */
const BOTTLE_NAME = /^bot-bottle-[\w-]+:(?!latest$|built-)[\w-]+$/;
/** Longest wait for a container that is just ending to let go of its image. */
const LEAVE_MS = 10_000;

/** What a record of this guest says of its image. */
export function imageObjects({ image }: GuestPlan): Readonly<Record<string, readonly string[]>> {
  return image?.kind === "dockerfile" ? { [IMAGE_KIND]: [image.tag] } : {};
}

interface ReleaseInput {
  readonly engine: Engine;
  readonly log: Logger;
  /** The guest's container, which may be on its way out; undefined when there is none. */
  readonly container: string | undefined;
}

/** Takes the name away. What cannot be is logged: the image itself stays for the next bottle anyway. */
export async function releaseName({ image }: GuestPlan, input: ReleaseInput): Promise<void> {
  const { engine, log, container } = input;
  if (image?.kind !== "dockerfile") return;
  try {
    await releaseImage(image, engine);
  } catch (error) {
    const isInUse = engineStatus(error) === CONFLICT && container !== undefined;
    if (!isInUse) return log.warn("the image's name stays", { name: image.tag, error });
    const gone = engine.containers.wait(container, "removed", { timeoutMs: LEAVE_MS });
    await ignore(gone, "it is gone already, or is not going", log);
    await ignore(releaseImage(image, engine), "cleanup finds it in the record", log);
  }
}

/** Takes away a name that the record of a dead owner says. One that is no bottle's, or no image of ours, stays. */
export async function reapName(engine: Engine, name: string): Promise<void> {
  if (!BOTTLE_NAME.test(name)) return;
  const found = await engine.images.inspect(name);
  if (found !== undefined && IMAGE_FAMILY_LABEL in found.Config.Labels)
    await engine.images.remove(name);
}
