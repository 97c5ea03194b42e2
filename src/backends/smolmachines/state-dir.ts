/**
 * Where smolvm keeps everything of one bottle's machine: below the bottle's run directory, or in a short private directory where
 * its sockets' paths would be too long. What a record names is text: only a directory of these shapes is ever removed.
 */
import { randomBytes } from "node:crypto";
import { chownSync, mkdirSync, readdirSync, rmdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { systemCode } from "../../base/errors.ts";
import { type HostPath, parseHostPath } from "../../base/ids.ts";

/** Bytes that smolvm adds for its longest socket, `/.cache/smolvm/vms/<16 hex digits>/port-forward.sock`. */
const LONGEST_SUFFIX = 54;
/** Longest path of a socket on every system. */
const MAX_SOCKET_PATH = 103;
const STATE_NAME = "smolvm";
const SHORT_STATE = /^\/tmp\/bot-bottle-vm-[0-9a-f]{16}$/;
const BASE = /^\/tmp\/bot-bottle-seen-[0-9a-f]{16}$/;

/** The state directory of a bottle whose doors lie in `doorsDir`. Pure but for the name of a short one. */
export function chooseStateDir(doorsDir: HostPath, isReached: boolean): HostPath {
  const usual = join(dirname(doorsDir), STATE_NAME);
  if (isReached || Buffer.byteLength(usual) + LONGEST_SUFFIX <= MAX_SOCKET_PATH)
    return parseHostPath(usual);
  return parseHostPath(`/tmp/bot-bottle-vm-${randomBytes(8).toString("hex")}`);
}

/** The base below which a machine of root's sees its directories; smolvm refuses to share anything below /run. */
export function chooseBase(): HostPath {
  return parseHostPath(`/tmp/bot-bottle-seen-${randomBytes(8).toString("hex")}`);
}

/** Makes the state directory for the uid that smolvm runs as. Throws a system error when it is there. */
export function makeStateDir(
  path: HostPath,
  owner: { uid: number; gid: number } | undefined,
): void {
  mkdirSync(path, { mode: 0o700 });
  if (owner !== undefined) chownSync(path, owner.uid, owner.gid);
}

/** Makes the empty directory onto which the machine's mounts are made. */
export function makeBase(path: HostPath): void {
  mkdirSync(path, { mode: 0o711 });
}

/** True for a directory that {@link chooseStateDir} may have named. */
export function isStateDir(path: string): boolean {
  if (path.split("/").some((part) => part === ".." || part === ".")) return false;
  if (SHORT_STATE.test(path)) return true;
  return /\/(?:run\/[0-9a-f]{8}|bot-bottle-[0-9a-f]{8})\/smolvm$/.test(path);
}

/** Removes a state directory with its disks, image archives and caches; tolerates that it is gone. */
export function removeStateDir(path: string): void {
  if (isStateDir(path)) rmSync(path, { recursive: true, force: true, maxRetries: 3 });
}

/** Removes a base; what is mounted there exists in other namespaces only. */
export function removeBase(path: string): void {
  if (!BASE.test(path)) return;
  try {
    rmdirSync(path);
  } catch (error) {
    if (systemCode(error) !== "ENOENT") throw error;
  }
}

/** Directories of the machines that smolvm keeps there, each with its log files; empty when there are none. */
export function machineDirectories(stateDir: string): readonly string[] {
  const machines = join(stateDir, ".cache/smolvm/vms");
  try {
    return readdirSync(machines, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => join(machines, entry.name));
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    return [];
  }
}
