/** Finds programs on PATH without running anything, and says how to install what is missing. */
import { accessSync, constants, statSync } from "node:fs";
import { join } from "node:path";
import { HostError, systemCode } from "../base/errors.ts";
import { searchDirectories } from "./env.ts";

/** Where a program is looked for when the child's environment has no PATH. */
export const DEFAULT_SEARCH_PATH = "/usr/bin:/bin";

interface Package {
  readonly debian: string;
  /** Undefined: it exists on Linux only. */
  readonly mac: string | undefined;
}

/** Package that installs each program we may need. */
const PACKAGES: Readonly<Record<string, Package>> = {
  bwrap: { debian: "bubblewrap", mac: undefined },
  git: { debian: "git", mac: "git" },
  mkfifo: { debian: "coreutils", mac: "coreutils" },
  prlimit: { debian: "util-linux", mac: undefined },
  ps: { debian: "procps", mac: undefined },
  setpriv: { debian: "util-linux", mac: undefined },
  ssh: { debian: "openssh-client", mac: "openssh" },
  "systemd-run": { debian: "systemd", mac: undefined },
};

/** The command that installs a program; undefined when no package of ours to name. */
export function installHint(
  name: string,
  platform: NodeJS.Platform = process.platform,
): string | undefined {
  const known = PACKAGES[name];
  if (known === undefined) return undefined;
  if (platform !== "darwin") return `install it: apt-get install ${known.debian}`;
  return known.mac === undefined
    ? `${name} exists on Linux only`
    : `install it: brew install ${known.mac}`;
}

/** The absolute path of a program on `searchPath`; undefined when no directory there holds it. */
export async function findBinary(name: string, searchPath: string): Promise<string | undefined> {
  if (name === "" || name.includes("/") || name.includes("\0")) return undefined;
  for (const directory of searchDirectories(searchPath)) {
    const path = join(directory, name);
    if (isExecutableFile(path)) return path;
  }
  return undefined;
}

/** Like {@link findBinary}, but throws HostError `host.binary-missing` with the command that installs it. */
export async function requireBinary(
  name: string,
  searchPath: string,
  hint: string | undefined = installHint(name),
): Promise<string> {
  const path = await findBinary(name, searchPath);
  if (path !== undefined) return path;
  throw missingBinary(name, `it is not on PATH (${searchPath})`, hint);
}

/** The error for a program that cannot be executed. */
export function missingBinary(
  name: string,
  seen: string,
  hint: string | undefined = installHint(name),
): HostError {
  return new HostError("host.binary-missing", `program "${name}" cannot be run: ${seen}`, {
    hint: hint ?? `install "${name}", or correct PATH`,
    details: { program: name },
  });
}

/** Without promises: a launch asks a hundred such questions, each answered in microseconds. */
function isExecutableFile(path: string): boolean {
  try {
    const info = statSync(path, { throwIfNoEntry: false });
    if (info?.isFile() !== true) return false;
    accessSync(path, constants.X_OK);
    return true;
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    return false;
  }
}
