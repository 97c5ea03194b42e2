/** Looks at the machine for what decides bubblewrap's arguments: programs, the shape of /, /etc and /proc. Changes nothing. */
import { lstat, readdir, readFile, readlink, stat } from "node:fs/promises";
import { systemCode } from "../../base/errors.ts";
import { type HostPath, parseHostPath } from "../../base/ids.ts";
import { findBinary, missingBinary, requireBinary } from "../../process/find-binary.ts";
import type { BackendPorts } from "../contract.ts";
import type { HostLayout } from "./render.ts";

/** Where the guest's own programs are looked for: only what lies below /usr is there too. */
const SYSTEM_PATH = "/usr/bin:/bin:/usr/sbin:/sbin";
const ROOT_ENTRIES = ["bin", "sbin", "lib", "lib32", "lib64", "libx32"];
/**
 * What programs in /usr are linked through or cannot start without, and what names no one: Debian's links of interchangeable
 * programs, the loader's index of libraries, settings of fonts, terminals and languages.
 */
const ETC_ENTRIES =
  /^(?:alternatives|ld\.so\.cache|fonts|terminfo|perl|java(?:-\d.*)?|python\d.*)$/;
const HOST_PROC_FILES = [
  ...["kcore", "keys", "key-users", "latency_stats", "sched_debug", "timer_list", "timer_stats"],
];
/** The machine's load, and writable for all: a trigger set there costs kernel time outside every limit. */
const HOST_PROC_DIRECTORIES = ["pressure"];
const STAGING_CANDIDATES = ["/mnt", "/media", "/srv", "/home", "/opt"];
/** Options that every bubblewrap we can use has (0.5 and later). */
const REQUIRED_OPTIONS = [
  "--args",
  "--seccomp",
  "--info-fd",
  "--perms",
  "--die-with-parent",
  "--clearenv",
];
const REQUIRED_SIZE_OPTION = "--size";

/** What `bwrap --help` says it can do. */
export interface BwrapFeatures {
  readonly canDisableUserns: boolean;
  /** Options that are needed and not there. */
  readonly missing: readonly string[];
}

/** Reads the features out of the help text. Pure. */
export function parseFeatures(help: string): BwrapFeatures {
  const has = (option: string): boolean => new RegExp(`^\\s+${option}\\b`, "m").test(help);
  return {
    canDisableUserns: has("--disable-userns"),
    missing: [...REQUIRED_OPTIONS, REQUIRED_SIZE_OPTION].filter((option) => !has(option)),
  };
}

/** Looks for bubblewrap's options in the program's own text, and asks it only where that does not tell (a wrapper). */
export async function probeFeatures(bwrap: string, ports: BackendPorts): Promise<BwrapFeatures> {
  const written = parseFeatures(await readProgramText(bwrap));
  if (written.canDisableUserns && written.missing.length === 0) return written;
  const { stdout } = await ports.exec.run([bwrap, "--help"], { timeoutMs: 10_000, env: {} });
  return parseFeatures(stdout.toString("utf8"));
}

/** Collects the layout. Throws HostError `host.binary-missing` when bubblewrap, or setpriv as root, is not installed. */
export async function probeLayout(ports: BackendPorts, isRoot: boolean): Promise<HostLayout> {
  const [bwrap, setpriv, prlimit] = await Promise.all([
    requireBinary("bwrap", ports.searchPath),
    findBinary("setpriv", `${ports.searchPath}:${SYSTEM_PATH}`),
    findBinary("prlimit", SYSTEM_PATH),
  ]);
  if (isRoot && setpriv === undefined)
    throw missingBinary("setpriv", "it is not on PATH, and root needs it to drop its rights");
  const [features, rootEntries, etcEntries, maskedProc, stagingDir] = await Promise.all([
    probeFeatures(bwrap, ports),
    findRootEntries(),
    findEtcEntries(),
    findMaskedProc(),
    findStagingDir([bwrap, setpriv ?? bwrap]),
  ]);
  return {
    bwrap: parseHostPath(bwrap),
    setpriv: setpriv === undefined ? undefined : parseHostPath(setpriv),
    prlimit: prlimit === undefined ? undefined : parseHostPath(prlimit),
    rootEntries,
    etcEntries,
    maskedProc,
    stagingDir,
    canDisableUserns: features.canDisableUserns,
  };
}

/** The lines about options among a program's strings. */
async function readProgramText(program: string): Promise<string> {
  try {
    return (await readFile(program, "latin1")).match(/ {4}--[ -~]+/g)?.join("\n") ?? "";
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    return "";
  }
}

async function filterPaths(
  names: readonly string[],
  isWanted: (name: string) => Promise<boolean>,
): Promise<readonly string[]> {
  const wanted = await Promise.all(names.map(isWanted));
  return names.filter((_, index) => wanted[index] === true);
}

/** Links are left out: bubblewrap would follow them to wherever they lead. */
async function findEtcEntries(): Promise<readonly string[]> {
  const entries = await readdir("/etc", { withFileTypes: true });
  return entries
    .filter((it) => ETC_ENTRIES.test(it.name) && !it.isSymbolicLink())
    .map((it) => it.name)
    .sort();
}

async function findMaskedProc(): Promise<HostLayout["maskedProc"]> {
  const [files, directories] = await Promise.all([
    filterPaths(HOST_PROC_FILES, isReadableByAll),
    filterPaths(HOST_PROC_DIRECTORIES, isDirectory),
  ]);
  return [
    ...files.map((name) => ({ name, isDirectory: false })),
    ...directories.map((name) => ({ name, isDirectory: true })),
  ];
}

async function isReadableByAll(name: string): Promise<boolean> {
  const found = await statOr(stat(`/proc/${name}`));
  return found?.isFile() === true && (found.mode & 0o004) !== 0;
}

async function isDirectory(name: string): Promise<boolean> {
  return (await statOr(stat(`/proc/${name}`)))?.isDirectory() === true;
}

async function statOr<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    return undefined;
  }
}

async function findRootEntries(): Promise<HostLayout["rootEntries"]> {
  const found = await Promise.all(ROOT_ENTRIES.map(describeRootEntry));
  return found.flatMap((entry) => (entry === undefined ? [] : [entry]));
}

async function describeRootEntry(
  name: string,
): Promise<HostLayout["rootEntries"][number] | undefined> {
  const found = await statOr(lstat(`/${name}`));
  if (found === undefined) return undefined;
  if (!found.isSymbolicLink()) return { name, linkTarget: undefined };
  const target = (await readlink(`/${name}`)).replace(/^\//, "");
  return { name, linkTarget: target.startsWith("usr/") ? target : undefined };
}

async function findStagingDir(programs: readonly string[]): Promise<HostPath> {
  for (const candidate of STAGING_CANDIDATES) {
    const found = await statOr(lstat(candidate));
    const hidesProgram = programs.some((program) => program.startsWith(`${candidate}/`));
    if (found?.isDirectory() === true && !hidesProgram) return parseHostPath(candidate);
  }
  return parseHostPath("/tmp");
}
