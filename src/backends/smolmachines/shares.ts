/** Looks at the directories that a machine shares: smolvm notices in the middle of a boot, or follows a link that a guest left. */
import { lstatSync, type Stats, statSync } from "node:fs";
import { join, posix } from "node:path";
import { systemCode } from "../../base/errors.ts";
import type { GuestPlan } from "../contract.ts";

/** What cannot be shared; empty when all can. */
export function checkShares(plan: GuestPlan): readonly string[] {
  return [
    ...plan.mounts.flatMap(({ hostPath }) => findKindFault(hostPath)),
    ...[plan.guestWorkspace, ...plan.mounts.map((mount) => mount.guestPath)].flatMap((path) =>
      path === undefined ? [] : findLinkFaults(plan, path),
    ),
  ];
}

function findKindFault(hostPath: string): readonly string[] {
  const info = statOr(() => statSync(hostPath));
  if (info === undefined) return [`${hostPath} does not exist or cannot be read`];
  return info.isDirectory()
    ? []
    : [`${hostPath} is no directory, and a machine shares nothing else`];
}

/** The guest writes its home: a link in it would decide where another share appears. */
function findLinkFaults(plan: GuestPlan, guestPath: string): readonly string[] {
  if (!guestPath.startsWith(`${plan.guestHome}/`)) return [];
  let path: string = plan.homeDir;
  for (const part of posix.relative(plan.guestHome, guestPath).split("/")) {
    path = join(path, part);
    const found = statOr(() => lstatSync(path));
    if (found === undefined) return [];
    if (!found.isDirectory())
      return [`"${guestPath}" is not a directory in the kept home: ${path}`];
  }
  return [];
}

function statOr(read: () => Stats): Stats | undefined {
  try {
    return read();
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    return undefined;
  }
}
