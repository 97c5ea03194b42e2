/**
 * Labels of everything of ours on a container engine: the one place where they are spelled. By them, and by nothing else, does a
 * reaper know what is ours, so that a name that was given once stays.
 */

/** Everything that belongs to a bottle; its value is the bottle's slug. */
export const BOTTLE_LABEL = "bot-bottle.bottle";
/** What an object is to its bottle, or what it was made for. */
export const ROLE_LABEL = "bot-bottle.role";
/** The home whose bottle it is: homes that share an engine are told apart. */
export const HOME_LABEL = "bot-bottle.home";
/** The process that made it. */
export const OWNER_LABEL = "bot-bottle.owner";
/** The content that an image was built from. */
export const IMAGE_KEY_LABEL = "bot-bottle.image-key";
/** What an image is a build of. */
export const IMAGE_FAMILY_LABEL = "bot-bottle.image-family";

/** Roles of what belongs to a bottle. */
export type BottleRole =
  | "guest"
  | "bundle"
  | "network"
  | "egress"
  /** What packing an image needs for a while. */
  | "registry"
  | "crane"
  | "pack";
/** Roles of what belongs to no bottle: it asks something of the engine, or holds an image while its files are read. */
export const PASSING_ROLES = ["probe", "export"] as const;
/** One of {@link PASSING_ROLES}. */
export type PassingRole = (typeof PASSING_ROLES)[number];

type Labels = Readonly<Record<string, string>>;

/** Labels of something of a bottle; `ownership` says whose it is. Pure. */
export function bottleLabels(bottle: string, role: BottleRole, ownership: Labels): Labels {
  return { ...ownership, [BOTTLE_LABEL]: bottle, [ROLE_LABEL]: role };
}

/** Labels of something that belongs to no bottle. Pure. */
export function passingLabels(role: PassingRole, ownership: Labels): Labels {
  return { ...ownership, [ROLE_LABEL]: role };
}

/** True for what belongs to no bottle: only its maker counts. Pure. */
export function isPassing(labels: Labels): boolean {
  return PASSING_ROLES.some((role) => labels[ROLE_LABEL] === role);
}

/** True for a bottle's thing of this home; without a name of the home nothing is. Pure. */
export function isOfHomesBottle(labels: Labels, homeId: string | undefined): boolean {
  return homeId !== undefined && labels[HOME_LABEL] === homeId && BOTTLE_LABEL in labels;
}
