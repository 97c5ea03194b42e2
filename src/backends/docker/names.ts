/** Names and labels of a bottle's guest on its engine. By the labels, and by nothing else, does a reaper know what is ours. */
import { createHash } from "node:crypto";
import type { BottleId } from "../../base/ids.ts";
import type { Labels } from "../../engine/contract.ts";
import type { GuestPlan } from "../contract.ts";

/** Label of everything of ours on an engine; its value is the bottle's slug. */
export const BOTTLE_LABEL = "bot-bottle.bottle";
/** Label that says what an object is to its bottle. */
export const ROLE_LABEL = "bot-bottle.role";
/** Label that tells the bottles of two homes apart. */
const HOME_LABEL = "bot-bottle.home";

const GUEST_ROLE = "guest";
const DIGEST_CHARS = 16;

/** Name of a guest's container. */
export function guestContainer(id: BottleId): string {
  return `bot-bottle-${id}`;
}

/** Labels of a guest's container. */
export function guestLabels(plan: Pick<GuestPlan, "id" | "cacheDir">): Labels {
  return {
    [BOTTLE_LABEL]: plan.id,
    [ROLE_LABEL]: GUEST_ROLE,
    [HOME_LABEL]: homeDigest(plan.cacheDir),
  };
}

/** True for a container that a bottle's guest ran in. */
export function isGuest(labels: Labels): boolean {
  return labels[ROLE_LABEL] === GUEST_ROLE && labels[BOTTLE_LABEL] !== undefined;
}

/** The home as a digest: its path holds the operator's name. */
function homeDigest(cacheDir: string): string {
  return createHash("sha256").update(cacheDir).digest("hex").slice(0, DIGEST_CHARS);
}
