/**
 * Finds smolvm on this machine without running it: `BOT_BOTTLE_SMOLVM`, then PATH, then the Python package `smolmachines`,
 * which ships the same program as `smol-vmm` with its libraries.
 */
import { existsSync, readdirSync, type Stats, statSync } from "node:fs";
import { basename, dirname, isAbsolute, join } from "node:path";
import { HostError, systemCode } from "../../base/errors.ts";
import { type HostPath, parseHostPath } from "../../base/ids.ts";
import { searchDirectories } from "../../process/env.ts";
import { findBinary } from "../../process/find-binary.ts";

/** The line that brings smolvm. */
export const INSTALL_HINT =
  "install it: pip install smolmachines (or set BOT_BOTTLE_SMOLVM to its program)";
/** Name of the program in the Python package. */
const PACKAGED_NAME = "smol-vmm";
const PYTHON_DIRECTORY = /^python3(?:\.\d+)?$/;

/** Where smolvm and what it needs lie. */
export interface SmolvmProgram {
  readonly program: HostPath;
  /** Directory of libkrun and the disk templates; undefined: the program finds its own. */
  readonly libDir: HostPath | undefined;
  /** Root file system of smolvm's own agent in the guest; undefined: the program finds its own. */
  readonly agentRootfs: HostPath | undefined;
  /** The folder of the Python package, which holds its root file system packed: it has to be prepared once. */
  readonly packageDir: HostPath | undefined;
}

/** What finding needs of the operator. */
export interface ProgramSearch {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly searchPath: string;
}

/** Finds the program. Throws HostError `host.binary-missing`. */
export async function findSmolvm(search: ProgramSearch): Promise<SmolvmProgram> {
  const named = search.env["BOT_BOTTLE_SMOLVM"];
  if (named !== undefined && named !== "")
    return describe(await resolveNamed(named, search), search);
  const found = (await findBinary("smolvm", search.searchPath)) ?? findPackaged(search);
  if (found !== undefined) return describe(found, search);
  throw missing(`it is not on PATH (${search.searchPath}), and no Python package brings it`);
}

async function resolveNamed(named: string, search: ProgramSearch): Promise<string> {
  if (!isAbsolute(named)) {
    const found = await findBinary(named, search.searchPath);
    if (found !== undefined) return found;
    throw missing(`BOT_BOTTLE_SMOLVM is "${named}", which is not on PATH`);
  }
  const found = kindOf(named) === "directory" ? programIn(named) : named;
  if (found !== undefined && kindOf(found) === "file") return found;
  throw missing(`BOT_BOTTLE_SMOLVM is "${named}", where no program lies`);
}

function programIn(directory: string): string | undefined {
  return ["smolvm", PACKAGED_NAME, `smol/${PACKAGED_NAME}`]
    .map((name) => join(directory, name))
    .find((path) => kindOf(path) === "file");
}

/** Looks where pip puts packages for each Python whose programs are on PATH, and for the user. */
function findPackaged({ env, searchPath }: ProgramSearch): string | undefined {
  const prefixes = searchDirectories(searchPath).map((directory) => dirname(directory));
  const home = env["HOME"];
  if (home !== undefined && isAbsolute(home))
    prefixes.push(join(home, ".local"), join(home, ".local/share/pipx/venvs/smolmachines"));
  return [...new Set(prefixes)].flatMap(packagedIn).find((path) => kindOf(path) === "file");
}

function packagedIn(prefix: string): readonly string[] {
  const pythons = list(join(prefix, "lib")).filter((name) => PYTHON_DIRECTORY.test(name));
  return pythons.flatMap((python) =>
    ["site-packages", "dist-packages"].map((packages) =>
      join(prefix, "lib", python, packages, "smol", PACKAGED_NAME),
    ),
  );
}

function describe(program: string, { env }: ProgramSearch): SmolvmProgram {
  const directory = dirname(program);
  const beside = (name: string): string | undefined =>
    existsSync(join(directory, name)) ? join(directory, name) : undefined;
  const libraries = beside("libkrun.so") === undefined ? undefined : directory;
  const isPackaged = basename(program) === PACKAGED_NAME && beside("agent-rootfs") === undefined;
  const installed =
    env["HOME"] === undefined ? "" : `${env["HOME"]}/.local/share/smolvm/agent-rootfs`;
  const rootfs =
    absolute(env["SMOLVM_AGENT_ROOTFS"]) ??
    beside("agent-rootfs") ??
    (kindOf(installed) === "directory" ? installed : undefined);
  return {
    program: parseHostPath(program),
    libDir: hostPath(absolute(env["SMOLVM_LIB_DIR"]) ?? libraries),
    agentRootfs: hostPath(rootfs),
    packageDir: isPackaged && rootfs === undefined ? parseHostPath(directory) : undefined,
  };
}

const absolute = (path: string | undefined): string | undefined =>
  path !== undefined && isAbsolute(path) ? path : undefined;

const hostPath = (path: string | undefined): HostPath | undefined =>
  path === undefined ? undefined : parseHostPath(path);

function kindOf(path: string): "file" | "directory" | undefined {
  const info = statOf(path);
  if (info?.isDirectory() === true) return "directory";
  return info?.isFile() === true && (info.mode & 0o111) !== 0 ? "file" : undefined;
}

function statOf(path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    return undefined;
  }
}

function list(directory: string): readonly string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    return [];
  }
}

function missing(seen: string): HostError {
  return new HostError("host.binary-missing", `program "smolvm" cannot be run: ${seen}`, {
    hint: INSTALL_HINT,
    details: { program: "smolvm" },
  });
}
