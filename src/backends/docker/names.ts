/** Names of a bottle's guest on its engine. */
import type { BottleId } from "../../base/ids.ts";
import { BOTTLE_LABEL, bottleLabels, ROLE_LABEL } from "../../base/labels.ts";
import type { Labels } from "../../engine/contract.ts";

const GUEST_ROLE = "guest";

/** Name of a guest's container. */
export function guestContainer(id: BottleId): string {
  return `bot-bottle-${id}`;
}

/** Labels of a guest's container; `ownership` says whose it is. */
export function guestLabels(id: BottleId, ownership: Labels): Labels {
  return bottleLabels(id, GUEST_ROLE, ownership);
}

/** True for a container that a bottle's guest ran in. */
export function isGuest(labels: Labels): boolean {
  return labels[ROLE_LABEL] === GUEST_ROLE && labels[BOTTLE_LABEL] !== undefined;
}
