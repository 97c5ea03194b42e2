/** Finds the agent's program on the host and says what the guest must see of it. Reads only. */
import { constants } from "node:fs";
import { access, open, realpath, stat } from "node:fs/promises";
import { basename, delimiter, dirname, join, resolve } from "node:path";
import type { MountPlan } from "../backends/contract.ts";
import { HostError, systemCode } from "../base/errors.ts";
import { type HostPath, parseGuestPath, parseHostPath } from "../base/ids.ts";
import type { ProgramLocator } from "../providers/provider.ts";

export interface ProgramSearch {
  /** PATH of the operator. */
  readonly searchPath: string;
  /** Value of the locator's variable; wins over PATH. */
  readonly override: string | undefined;
  /** Directory of the guest's PATH into which the program is bound. */
  readonly guestDirectory: string;
  /** Processor, as `process.arch` names it. */
  readonly arch?: string;
}

export interface LocatedProgram {
  /** The file that runs: native, links resolved. */
  readonly hostPath: HostPath;
  /** What to bind so that the guest can run it by its name; empty when the guest sees it on its own PATH. */
  readonly mounts: readonly MountPlan[];
}

/** What `{machine}` means, by processor. */
const MACHINES: Readonly<Record<string, string>> = { x64: "x86_64", arm64: "aarch64" };

/** First bytes of programs that run by themselves: ELF, and Mach-O of 64 bits. */
const NATIVE_MAGIC = ["7f454c46", "cffaedfe"];

/**
 * Looks the program up; undefined when it is not installed. Throws HostError `host.agent-missing` when what was found
 * cannot run in a guest: a variable that names no program, or a launcher without its native program.
 */
export async function locateProgram(
  locator: ProgramLocator,
  search: ProgramSearch,
): Promise<LocatedProgram | undefined> {
  const found = await findLauncher(locator, search);
  if (found === undefined) return undefined;
  const launcher = await realpath(found);
  const native = (await findNative(locator, launcher, search.arch)) ?? launcher;
  const isNative = await hasNativeMagic(native);
  // A script below /usr runs in the guest as it runs here, interpreter included.
  if (!isNative && launcher.startsWith("/usr/") && search.override === undefined) {
    return { hostPath: parseHostPath(launcher), mounts: [] };
  }
  if (!isNative) throw launcherWithoutNative(locator, launcher);
  const companions = await findCompanions(locator, native);
  return {
    hostPath: parseHostPath(native),
    mounts: [
      mount(native, search.guestDirectory, locator.name),
      ...companions.map((path) => mount(path, search.guestDirectory, basename(path))),
    ],
  };
}

function mount(hostPath: string, guestDirectory: string, name: string): MountPlan {
  return {
    hostPath: parseHostPath(hostPath),
    guestPath: parseGuestPath(`${guestDirectory}/${name}`),
  };
}

async function findLauncher(
  locator: ProgramLocator,
  { override, searchPath }: ProgramSearch,
): Promise<string | undefined> {
  if (override !== undefined && override !== "") {
    const path = resolve(override);
    if (await isProgram(path)) return path;
    throw new HostError(
      "host.agent-missing",
      `${locator.variable} names no program: ${path}; an executable file is expected`,
      { hint: `unset ${locator.variable}, or let it name the ${locator.name} program` },
    );
  }
  for (const directory of searchPath.split(delimiter)) {
    // An empty or relative part of PATH means wherever we stand, which a repository may have filled.
    if (!directory.startsWith("/")) continue;
    const path = join(directory, locator.name);
    if (await isProgram(path)) return path;
  }
  return undefined;
}

async function findNative(
  { natives }: ProgramLocator,
  launcher: string,
  arch: string = process.arch,
): Promise<string | undefined> {
  for (const native of natives) {
    const name = native.replaceAll("{arch}", arch).replaceAll("{machine}", MACHINES[arch] ?? arch);
    const path = join(dirname(launcher), name);
    if (await isProgram(path)) return realpath(path);
  }
  return undefined;
}

async function findCompanions({ companions }: ProgramLocator, native: string): Promise<string[]> {
  const paths = companions.map((it) => join(dirname(native), it));
  const present = await Promise.all(paths.map(isProgram));
  return Promise.all(paths.filter((_, index) => present[index]).map((path) => realpath(path)));
}

async function isProgram(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK);
    return (await stat(path)).isFile();
  } catch (error) {
    if (systemCode(error) !== undefined) return false;
    throw error;
  }
}

async function hasNativeMagic(path: string): Promise<boolean> {
  await using file = await open(path);
  const { buffer, bytesRead } = await file.read(Buffer.alloc(4), 0, 4, 0);
  return NATIVE_MAGIC.includes(buffer.subarray(0, bytesRead).toString("hex"));
}

function launcherWithoutNative(locator: ProgramLocator, launcher: string): HostError {
  return new HostError(
    "host.agent-missing",
    `${locator.name} cannot run in a bottle: ${launcher} is a launcher without its native program`,
    {
      hint: `install it again with npm of Node 22 or newer: npm install -g ${locator.npmPackage}; or let ${locator.variable} name the native program`,
    },
  );
}
