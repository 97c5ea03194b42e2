/** Where things are in every guest. */
import { type GuestPath, parseGuestPath } from "../base/ids.ts";

export const GUEST_HOME: GuestPath = parseGuestPath("/home/node");
export const GUEST_WORKSPACE: GuestPath = parseGuestPath("/home/node/workspace");
export const GUEST_DOORS: GuestPath = parseGuestPath("/run/bot-bottle/doors");
/** Directory of agents' programs that are bound from the host. */
export const GUEST_AGENTS: GuestPath = parseGuestPath("/opt/agents");
export const GUEST_PROMPT: GuestPath = parseGuestPath("/home/node/.bot-bottle-prompt.txt");
