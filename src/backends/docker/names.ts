/** Names and labels of a bottle's guest on its engine. By the labels, and by nothing else, does a reaper know what is ours. */
import type { BottleId } from "../../base/ids.ts";
import type { Labels } from "../../engine/contract.ts";

/** Label of everything of ours on an engine; its value is the bottle's slug. */
export const BOTTLE_LABEL = "bot-bottle.bottle";
/** Label that says what an object is to its bottle. */
export const ROLE_LABEL = "bot-bottle.role";
/** Role of a container that only asks something; it belongs to no bottle. */
export const PROBE_ROLE = "probe";
const GUEST_ROLE = "guest";

/** Name of a guest's container. */
export function guestContainer(id: BottleId): string {
  return `bot-bottle-${id}`;
}

/** Labels of a guest's container; `ownership` says whose it is. */
export function guestLabels(id: BottleId, ownership: Labels): Labels {
  return { ...ownership, [BOTTLE_LABEL]: id, [ROLE_LABEL]: GUEST_ROLE };
}

/** True for a container that a bottle's guest ran in. */
export function isGuest(labels: Labels): boolean {
  return labels[ROLE_LABEL] === GUEST_ROLE && labels[BOTTLE_LABEL] !== undefined;
}
