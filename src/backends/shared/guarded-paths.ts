/** Where a mount of the operator would replace what isolation or our own programs rest on. Pure. */
import type { GuestPlan } from "../contract.ts";

/** What of the guest is a bottle's own, beside its home and workspace. */
export interface GuardedPaths {
  /** Nothing is mounted in these, nor over them. */
  readonly whole: readonly string[];
  /** Nothing is mounted over these. */
  readonly roots: readonly string[];
}

/** Mounts of the plan whose guest path cannot be given, each with the reason; empty when all are fine. */
export function findGuarded(plan: GuestPlan, { whole, roots }: GuardedPaths): readonly string[] {
  const { guestHome, guestWorkspace, mounts } = plan;
  const own = guestWorkspace === undefined ? [guestHome] : [guestHome, guestWorkspace];
  return mounts.flatMap(({ guestPath }) => {
    const path = trimSlash(guestPath);
    const inside = whole.find((guarded) => isWithin(path, guarded));
    if (inside !== undefined)
      return [`"${guestPath}" lies in ${inside}, which is the bottle's own`];
    const covered = [...whole, ...roots, ...own].find((guarded) => isWithin(guarded, path));
    return covered === undefined ? [] : [`"${guestPath}" would cover ${covered}`];
  });
}

const isWithin = (path: string, directory: string): boolean =>
  path === directory || directory === "/" || path.startsWith(`${directory}/`);

function trimSlash(path: string): string {
  return path.replace(/\/+/g, "/").replace(/(?<=.)\/$/, "");
}
