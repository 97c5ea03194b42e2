/**
 * Mount points inside the guest's own directories: made here, as its user's, because the engine would make them as root's; and
 * none leads through a link that the guest left in an earlier session.
 */
import { lchownSync, lstatSync, mkdirSync, type Stats, statSync, writeFileSync } from "node:fs";
import { dirname, join, posix } from "node:path";
import { LaunchError, messageOf, systemCode } from "../../base/errors.ts";
import type { GuestPlan } from "../contract.ts";
import { findGuarded } from "../shared/guarded-paths.ts";
import { GUEST_TOOLS } from "./render.ts";

interface Tree {
  readonly hostDir: string;
  readonly guestDir: string;
}

interface Point {
  readonly guestPath: string;
  readonly isFile: boolean;
}

/** Refuses mounts over what is the bottle's own, and makes what is missing. Throws LaunchError `launch.backend`. */
export function prepareMountPoints(plan: GuestPlan, uid: number, gid: number): void {
  const { homeDir, guestHome, workspaceDir, guestWorkspace } = plan;
  const whole = ["/proc", "/sys", "/dev", GUEST_TOOLS, plan.guestDoors];
  const faults = findGuarded(plan, { whole, roots: ["/etc", "/tmp", "/var/tmp", "/run"] });
  if (faults.length > 0) throw refused(faults.join("; "));
  const home = { hostDir: homeDir, guestDir: guestHome };
  const trees: Tree[] = [home];
  const make = (tree: Tree, point: Point): void => preparePoint(tree, point, { uid, gid });
  if (workspaceDir !== undefined && guestWorkspace !== undefined) {
    trees.unshift({ hostDir: workspaceDir, guestDir: guestWorkspace });
    if (isBelow(home, guestWorkspace)) make(home, { guestPath: guestWorkspace, isFile: false });
  }
  for (const { guestPath, hostPath } of plan.mounts) {
    const tree = trees.find((it) => isBelow(it, guestPath));
    const isFile = statSync(hostPath, { throwIfNoEntry: false })?.isDirectory() !== true;
    if (tree !== undefined) make(tree, { guestPath, isFile });
  }
}

function isBelow(tree: Tree, guestPath: string): boolean {
  return guestPath.startsWith(`${tree.guestDir}/`);
}

function preparePoint(
  tree: Tree,
  point: Point,
  owner: { readonly uid: number; readonly gid: number },
): void {
  const parts = posix.relative(tree.guestDir, point.guestPath).split("/");
  let path = tree.hostDir;
  for (const [index, part] of parts.entries()) {
    path = join(path, part);
    const found = lstatOr(path);
    if (found?.isSymbolicLink() === true)
      throw refused(`"${point.guestPath}" leads through the link ${path}`);
    if (found !== undefined) continue;
    makePoint(path, point.isFile && index === parts.length - 1);
    if (process.getuid?.() === 0) lchownSync(path, owner.uid, owner.gid);
  }
}

function makePoint(path: string, isFile: boolean): void {
  try {
    if (isFile) writeFileSync(path, "", { flag: "wx", mode: 0o644 });
    else mkdirSync(path, { mode: 0o755 });
  } catch (error) {
    throw refused(`${dirname(path)}: ${messageOf(error)}`, error);
  }
}

function lstatOr(path: string): Stats | undefined {
  try {
    return lstatSync(path);
  } catch (error) {
    if (systemCode(error) === "ENOENT" || systemCode(error) === "ENOTDIR") return undefined;
    throw error;
  }
}

function refused(why: string, cause?: unknown): LaunchError {
  return new LaunchError("launch.backend", `a mount cannot be made: ${why}`, {
    cause,
    hint: "choose another guest path in the bottle's mounts, or remove the link from the kept home",
  });
}
