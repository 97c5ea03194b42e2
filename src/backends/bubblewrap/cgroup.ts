/**
 * Control groups of one guest: where they may be made, making them, and ending all that is in them. A group is always made
 * below one that we are in already (v1) or below the nearest that hands its controllers down (v2).
 */
import {
  accessSync,
  closeSync,
  constants,
  mkdirSync,
  openSync,
  readFileSync,
  rmdirSync,
  writeSync,
} from "node:fs";
import { join, posix } from "node:path";
import type { Clock } from "../../base/clock.ts";
import { LaunchError, systemCode } from "../../base/errors.ts";
import { type HostPath, parseHostPath } from "../../base/ids.ts";
import { sendSignal } from "../../process/terminate.ts";

/** First part of the name of every group of ours; nothing else is ever removed. */
export const CGROUP_PREFIX = "bot-bottle-";
/** Time to wait for a group to become empty after its processes were killed. */
export const MAX_CGROUP_REMOVAL_MS = 3_000;
const REMOVAL_STEP_MS = 20;

export const CONTROLLERS = ["memory", "pids", "cpu"] as const;
export type Controller = (typeof CONTROLLERS)[number];

/** A place in which a group with this controller can be made. */
export interface CgroupParent {
  readonly version: 1 | 2;
  readonly directory: string;
}
export type CgroupParents = Readonly<Partial<Record<Controller, CgroupParent>>>;

/** One group to make. A file that is missing on this kernel is an error unless it is optional. */
export interface CgroupPlan {
  readonly directory: HostPath;
  readonly files: readonly {
    readonly name: string;
    readonly value: string;
    readonly isOptional: boolean;
  }[];
}

interface CgroupMount {
  readonly type: string;
  readonly root: string;
  readonly mountPoint: string;
  readonly options: readonly string[];
}

/** Parses the cgroup file systems out of /proc/self/mountinfo (proc(5)). */
export function parseCgroupMounts(mountinfo: string): readonly CgroupMount[] {
  return mountinfo.split("\n").flatMap((line) => {
    const [before = "", after = ""] = line.split(" - ");
    const [type = "", , options = ""] = after.split(" ");
    const [, , , root = "/", mountPoint = ""] = before.split(" ");
    return type === "cgroup" || type === "cgroup2"
      ? [{ type, root, mountPoint, options: options.split(",") }]
      : [];
  });
}

/** Parses /proc/self/cgroup to the path of each controller; the unified hierarchy has the name "". */
export function parseOwnCgroups(text: string): ReadonlyMap<string, string> {
  const paths = new Map<string, string>();
  for (const line of text.split("\n")) {
    const match = /^\d+:([^:]*):(.*)$/.exec(line);
    for (const name of match?.[1]?.split(",") ?? []) paths.set(name, match?.[2] ?? "/");
  }
  return paths;
}

function ownDirectory(mount: CgroupMount, path: string): string {
  const relative = posix.relative(mount.root, path);
  return relative.startsWith("..") ? mount.mountPoint : join(mount.mountPoint, relative);
}

/** Looks where groups can be made; empty when they cannot. Changes nothing. */
export function probeCgroups(): CgroupParents {
  const mountinfo = readFileSync("/proc/self/mountinfo", "utf8");
  const own = readFileSync("/proc/self/cgroup", "utf8");
  const paths = parseOwnCgroups(own);
  const parents: Partial<Record<Controller, CgroupParent>> = {};
  for (const mount of parseCgroupMounts(mountinfo)) {
    if (mount.type === "cgroup2") Object.assign(parents, probeUnified(mount, paths.get("") ?? "/"));
  }
  for (const mount of parseCgroupMounts(mountinfo)) {
    const controller = CONTROLLERS.find(
      (name) => mount.type === "cgroup" && mount.options.includes(name),
    );
    if (controller === undefined || parents[controller] !== undefined) continue;
    const directory = ownDirectory(mount, paths.get(controller) ?? "/");
    if (isWritable(directory)) parents[controller] = { version: 1, directory };
  }
  return parents;
}

/** A v2 group with processes cannot hand controllers down, so ours is usually made beside us and not below. */
function probeUnified(mount: CgroupMount, path: string): CgroupParents {
  let directory = ownDirectory(mount, path);
  while (directory.startsWith(mount.mountPoint)) {
    const handedDown = readOr(join(directory, "cgroup.subtree_control"), "").trim().split(" ");
    const found = CONTROLLERS.filter((name) => handedDown.includes(name));
    const parent = { version: 2, directory } as const;
    if (found.length > 0) {
      return isWritable(directory) ? Object.fromEntries(found.map((name) => [name, parent])) : {};
    }
    directory = posix.dirname(directory);
  }
  return {};
}

function isWritable(directory: string): boolean {
  try {
    accessSync(directory, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

function readOr(file: string, otherwise: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return otherwise;
  }
}

/** Makes the groups and sets their limits. Throws LaunchError `launch.backend`; what was made stays to be removed. */
export function openCgroups(plans: readonly CgroupPlan[]): void {
  for (const plan of plans) {
    try {
      mkdirSync(plan.directory);
      for (const file of plan.files) setFile(plan.directory, file);
    } catch (cause) {
      throw new LaunchError(
        "launch.backend",
        `cannot make the control group ${plan.directory}: ${systemCode(cause) ?? "failed"}`,
        {
          hint: "run bot-bottle cleanup, then start again",
          cause,
        },
      );
    }
  }
}

function setFile(directory: string, file: CgroupPlan["files"][number]): void {
  try {
    // Opened for writing only: creating a file in a cgroup directory is never what is meant.
    const fd = openSync(join(directory, file.name), constants.O_WRONLY);
    try {
      writeSync(fd, file.value);
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    if (file.isOptional && systemCode(error) === "ENOENT") return;
    throw error;
  }
}

/** Kills everything in a group of ours and removes it. False when it could not be emptied in time; a missing one is fine. */
export async function closeCgroup(directory: HostPath, clock: Clock): Promise<boolean> {
  if (!posix.basename(directory).startsWith(CGROUP_PREFIX)) return false;
  const giveUpAt = clock.monotonic() + MAX_CGROUP_REMOVAL_MS;
  for (;;) {
    if (removeEmpty(directory)) return true;
    if (clock.monotonic() > giveUpAt) return false;
    killMembers(directory);
    await clock.sleep(REMOVAL_STEP_MS);
  }
}

function removeEmpty(directory: string): boolean {
  try {
    rmdirSync(directory);
    return true;
  } catch (error) {
    if (systemCode(error) === "ENOENT") return true;
    if (systemCode(error) === "EBUSY" || systemCode(error) === "ENOTEMPTY") return false;
    throw error;
  }
}

function killMembers(directory: string): void {
  const members = readOr(join(directory, "cgroup.procs"), "").split("\n").map(Number);
  for (const pid of members) {
    if (Number.isInteger(pid) && pid > 1 && pid !== process.pid) sendSignal(pid, "SIGKILL");
  }
}

/** The directory of a guest's group below a parent. */
export function cgroupDirectory(parent: CgroupParent, id: string): HostPath {
  return parseHostPath(join(parent.directory, `${CGROUP_PREFIX}${id}`));
}
