/**
 * The directory of our programs that every machine gets read-only: guest-init and our Node, for images without one. Made once
 * for each pair of them and kept in the cache under what they are.
 */
import { createHash } from "node:crypto";
import {
  chmodSync,
  constants,
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { systemCode } from "../../base/errors.ts";
import { type HostPath, parseHostPath } from "../../base/ids.ts";
import { makeDirectory } from "../../base/make-directory.ts";
import type { GuestPlan } from "../contract.ts";

/** The kit's directory, made when it is missing. Throws a system error, or HostError `host.unwritable`. */
export function openKit(
  plan: Pick<GuestPlan, "cacheDir" | "guestInitPath" | "nodePath">,
): HostPath {
  const { cacheDir, guestInitPath, nodePath } = plan;
  const { size, mtimeMs } = statSync(nodePath);
  const key = createHash("sha256")
    .update(readFileSync(guestInitPath))
    .update(`\0${nodePath}\0${size}\0${mtimeMs}`)
    .digest("hex");
  const kit = join(cacheDir, "smolvm", `kit-${key.slice(0, 16)}`);
  if (!existsSync(kit)) makeKit(kit, guestInitPath, nodePath);
  return parseHostPath(kit);
}

function makeKit(kit: string, guestInitPath: HostPath, nodePath: HostPath): void {
  makeDirectory(dirname(kit));
  const building = `${kit}.${process.pid}`;
  rmSync(building, { recursive: true, force: true });
  mkdirSync(building, { mode: 0o755 });
  copyFileSync(guestInitPath, join(building, "guest-init.js"));
  chmodSync(join(building, "guest-init.js"), 0o644);
  linkOrCopy(nodePath, join(building, "node"));
  chmodSync(building, 0o755);
  publish(building, kit);
}

/** Node has a hundred megabytes: a second name for it is better than a second copy, where any user may run it. */
function linkOrCopy(from: string, to: string): void {
  if ((statSync(from).mode & 0o005) === 0o005 && isLinked(from, to)) return;
  copyFileSync(from, to, constants.COPYFILE_FICLONE);
  chmodSync(to, 0o755);
}

function isLinked(from: string, to: string): boolean {
  try {
    linkSync(from, to);
    return true;
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    return false;
  }
}

/** Another launch may have been faster; what it made is the same. */
function publish(building: string, kit: string): void {
  try {
    renameSync(building, kit);
  } catch (error) {
    if (!existsSync(kit)) throw error;
    rmSync(building, { recursive: true, force: true });
  }
}
