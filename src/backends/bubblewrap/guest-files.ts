/**
 * What must hold of the guest's directories on the host before they are bound: mount points exist where only we can make
 * them, and none of them leads through a link that the guest left in an earlier session.
 */
import { lstat, mkdir, writeFile } from "node:fs/promises";
import { join, posix } from "node:path";
import { LaunchError, systemCode } from "../../base/errors.ts";
import type { GuestPlan } from "../contract.ts";
import { findMountFaults } from "./render.ts";

/** Refuses mounts that cannot be given. Throws LaunchError `launch.backend`. */
export async function checkMountPoints(plan: GuestPlan): Promise<void> {
  const faults = [...findMountFaults(plan), ...(await findLinkFaults(plan))];
  if (faults.length === 0) return;
  throw new LaunchError("launch.backend", `a mount cannot be made: ${faults.join("; ")}`, {
    hint: "choose another guest path in the bottle's mounts, or remove the link from the kept home",
  });
}

interface WritableTree {
  readonly hostDir: string;
  readonly guestDir: string;
}

async function findLinkFaults(plan: GuestPlan): Promise<readonly string[]> {
  const { homeDir, guestHome, workspaceDir, guestWorkspace } = plan;
  const home = { hostDir: homeDir, guestDir: guestHome };
  const trees: WritableTree[] = [home];
  const faults: string[] = [];
  if (workspaceDir !== undefined && guestWorkspace !== undefined) {
    trees.unshift({ hostDir: workspaceDir, guestDir: guestWorkspace });
    faults.push(...(await findLink(home, guestWorkspace)));
  }
  for (const { guestPath } of plan.mounts) {
    const tree = trees.find(({ guestDir }) => guestPath.startsWith(`${guestDir}/`));
    if (tree !== undefined) faults.push(...(await findLink(tree, guestPath)));
  }
  return faults;
}

/** Bubblewrap would follow a link here, and make the mount point wherever the guest pointed it. */
async function findLink(tree: WritableTree, guestPath: string): Promise<readonly string[]> {
  let path = tree.hostDir;
  for (const part of posix.relative(tree.guestDir, guestPath).split("/")) {
    path = join(path, part);
    const found = await lstatOr(path);
    if (found === undefined) return [];
    if (found.isSymbolicLink()) return [`"${guestPath}" leads through the link ${path}`];
  }
  return [];
}

async function lstatOr(path: string): Promise<Awaited<ReturnType<typeof lstat>> | undefined> {
  try {
    return await lstat(path);
  } catch (error) {
    if (systemCode(error) === "ENOENT" || systemCode(error) === "ENOTDIR") return undefined;
    throw error;
  }
}

/** Makes the places in the guest's /etc onto which entries of the host's are bound; the guest's own uid could not. */
export async function prepareEtc(etcDir: string, entries: readonly string[]): Promise<void> {
  for (const name of entries) {
    const path = join(etcDir, name);
    if ((await lstatOr(path)) !== undefined) continue;
    if ((await lstat(join("/etc", name))).isDirectory()) await mkdir(path, { mode: 0o755 });
    else await writeFile(path, "", { mode: 0o644 });
  }
}
