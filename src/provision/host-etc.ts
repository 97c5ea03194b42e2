/**
 * What the guest's /etc has from the host's, because programs below /usr are links into it or cannot start without it. A
 * list of names, not the rest: the host's /etc also holds accounts, keys and addresses.
 */
import { chmodSync, copyFileSync, mkdirSync, readlinkSync, statSync, symlinkSync } from "node:fs";
import { systemCode } from "../base/errors.ts";
import { showBytePath, toBuffer, toBytePath } from "./byte-path.ts";
import { timeSlices } from "./time-slice.ts";
import { listDirectory } from "./work-kept.ts";

/**
 * Names that are copied where the host has them: release, time zone, tables. Not `alternatives` and `ld.so.cache`: hundreds of
 * links, which the backend that shows the host's /usr binds instead.
 */
const NAMES = new Set([
  "os-release",
  "debian_version",
  "localtime",
  "protocols",
  "services",
  "mime.types",
  "terminfo",
  "fonts",
  "perl",
]);
/** Families of names: `/etc/java-17-openjdk`, `/etc/python3.11`. */
const FAMILIES = /^(?:java-\d|java$|python\d)/;
/** Largest file that is copied; every file meant here is far smaller. */
const MAX_FILE_BYTES: number = 4 * 1024 * 1024;
/** Java's own settings lie three deep. */
const MAX_DEPTH = 6;

/**
 * Copies the listed names below `target`, which must exist; what every user may read, and nothing else. Throws the system
 * error when the target cannot be written.
 */
export async function copyHostEtc(target: string, hostEtc = "/etc"): Promise<void> {
  const pause = timeSlices(undefined);
  const names = listDirectory(toBytePath(hostEtc)).map((it) => it.name);
  const pending = names
    .filter((name) => NAMES.has(name) || FAMILIES.test(name))
    .map((name) => ({ path: `/${name}`, depth: 1 }));
  for (let at = pending.pop(); at !== undefined; at = pending.pop()) {
    const { path, depth } = at;
    const from = `${toBytePath(hostEtc)}${path}`;
    const isDirectory = copyName(from, `${toBytePath(target)}${path}`, depth);
    if (isDirectory && depth < MAX_DEPTH) {
      pending.push(
        ...listDirectory(from).map((it) => ({ path: `${path}/${it.name}`, depth: depth + 1 })),
      );
    }
    await pause();
  }
}

/** Links below the top stay links; at the top they lead out of /etc (localtime, os-release) and are resolved. */
function copyName(from: string, to: string, depth: number): boolean {
  const link = depth === 1 ? undefined : linkTarget(from);
  if (link !== undefined) {
    symlinkSync(link, toBuffer(to));
    return false;
  }
  const stats = statSync(toBuffer(from), { throwIfNoEntry: false });
  if (stats === undefined || (stats.mode & 0o004) === 0) return false;
  if (stats.isDirectory()) {
    mkdirSync(toBuffer(to), { mode: 0o755 });
    return true;
  }
  if (stats.isFile() && stats.size <= MAX_FILE_BYTES) {
    copyFileSync(toBuffer(from), toBuffer(to));
    chmodSync(toBuffer(to), 0o644);
  }
  return false;
}

function linkTarget(path: string): Buffer | undefined {
  try {
    return readlinkSync(toBuffer(path), "buffer");
  } catch (error) {
    if (systemCode(error) === "EINVAL" || systemCode(error) === "ENOENT") return undefined;
    throw new Error(`${showBytePath(path)} cannot be read`, { cause: error });
  }
}
