/**
 * What must hold of the guest's directories on the host before they are bound: mount points exist where only we can make
 * them, and none of them leads through a link that the guest left in an earlier session.
 */
import { lstatSync, mkdirSync, type Stats, writeFileSync } from "node:fs";
import { join, posix } from "node:path";
import { LaunchError, systemCode } from "../../base/errors.ts";
import type { GuestPlan } from "../contract.ts";
import { findMountFaults } from "./render.ts";

/** Refuses mounts that cannot be given. Throws LaunchError `launch.backend`. */
export async function checkMountPoints(plan: GuestPlan): Promise<void> {
  const faults = [...findMountFaults(plan), ...findLinkFaults(plan)];
  if (faults.length === 0) return;
  throw new LaunchError("launch.backend", `a mount cannot be made: ${faults.join("; ")}`, {
    hint: "choose another guest path in the bottle's mounts, or remove the link from the kept home",
  });
}

interface WritableTree {
  readonly hostDir: string;
  readonly guestDir: string;
}

function findLinkFaults(plan: GuestPlan): readonly string[] {
  const { homeDir, guestHome, workspaceDir, guestWorkspace } = plan;
  const home = { hostDir: homeDir, guestDir: guestHome };
  const trees: WritableTree[] = [home];
  const faults: string[] = [];
  if (workspaceDir !== undefined && guestWorkspace !== undefined) {
    trees.unshift({ hostDir: workspaceDir, guestDir: guestWorkspace });
    faults.push(...findLink(home, guestWorkspace));
  }
  for (const { guestPath } of plan.mounts) {
    const tree = trees.find(({ guestDir }) => guestPath.startsWith(`${guestDir}/`));
    if (tree !== undefined) faults.push(...findLink(tree, guestPath));
  }
  return faults;
}

/** Bubblewrap would follow a link here, and make the mount point wherever the guest pointed it. */
function findLink(tree: WritableTree, guestPath: string): readonly string[] {
  let path = tree.hostDir;
  for (const part of posix.relative(tree.guestDir, guestPath).split("/")) {
    path = join(path, part);
    const found = lstatOr(path);
    if (found === undefined) return [];
    if (found.isSymbolicLink()) return [`"${guestPath}" leads through the link ${path}`];
  }
  return [];
}

function lstatOr(path: string): Stats | undefined {
  try {
    return lstatSync(path);
  } catch (error) {
    if (systemCode(error) === "ENOENT" || systemCode(error) === "ENOTDIR") return undefined;
    throw error;
  }
}

/** Makes the places in the guest's /etc onto which entries of the host's are bound; the guest's own uid could not. */
export function prepareEtc(etcDir: string, entries: readonly string[]): void {
  for (const name of entries) {
    const path = join(etcDir, name);
    if (lstatOr(path) !== undefined) continue;
    if (lstatSync(join("/etc", name)).isDirectory()) mkdirSync(path, { mode: 0o755 });
    else writeFileSync(path, "", { mode: 0o644 });
  }
}
