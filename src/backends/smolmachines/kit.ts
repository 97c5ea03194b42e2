/**
 * What every machine gets of our own programs, read-only: guest-init beside the guest's part of /etc, and a directory with our Node
 * for images without one, kept in the cache.
 */
import { createHash } from "node:crypto";
import {
  chmodSync,
  constants,
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  renameSync,
  rmSync,
  statSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { systemCode } from "../../base/errors.ts";
import { type HostPath, parseHostPath } from "../../base/ids.ts";
import { makeDirectory } from "../../base/make-directory.ts";
import type { GuestPlan } from "../contract.ts";
import { GUEST_INIT_NAME } from "./start-script.ts";

/** The kit's directory, made when it is missing. Throws a system error, or HostError `host.unwritable`. */
export function openKit({
  cacheDir,
  nodePath,
}: Pick<GuestPlan, "cacheDir" | "nodePath">): HostPath {
  const { size, mtimeMs } = statSync(nodePath);
  const key = createHash("sha256").update(`${nodePath}\0${size}\0${mtimeMs}`).digest("hex");
  const kit = join(cacheDir, "smolvm", `kit-${key.slice(0, 16)}`);
  if (!existsSync(kit)) makeKit(kit, nodePath);
  return parseHostPath(kit);
}

function makeKit(kit: string, nodePath: HostPath): void {
  makeDirectory(dirname(kit));
  const building = `${kit}.${process.pid}`;
  rmSync(building, { recursive: true, force: true });
  mkdirSync(building, { mode: 0o755 });
  linkOrCopy(nodePath, join(building, "node"));
  chmodSync(building, 0o755);
  publish(building, kit);
}

/** Puts guest-init into the guest's part of /etc. */
export function placeGuestInit({ etcDir, guestInitPath }: GuestPlan): void {
  const target = join(etcDir, GUEST_INIT_NAME);
  mkdirSync(dirname(target), { recursive: true, mode: 0o755 });
  copyFileSync(guestInitPath, target);
  chmodSync(target, 0o644);
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
