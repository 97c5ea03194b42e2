/** Looks at the machine for what decides bubblewrap's arguments: programs, the shape of /, /etc and /proc. Changes nothing. */
import { lstatSync, readdirSync, readFileSync, readlinkSync, type Stats, statSync } from "node:fs";
import { systemCode } from "../../base/errors.ts";
import { type HostPath, parseHostPath } from "../../base/ids.ts";
import { findBinary, missingBinary, requireBinary } from "../../process/find-binary.ts";
import { coreLimitArgs, hardProcessLimit } from "../../process/hard-limits.ts";
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
  const written = parseFeatures(readProgramText(bwrap));
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
  const features = await probeFeatures(bwrap, ports);
  return {
    bwrap: parseHostPath(bwrap),
    setpriv: setpriv === undefined ? undefined : parseHostPath(setpriv),
    prlimit: prlimit === undefined ? undefined : parseHostPath(prlimit),
    coreLimitArgs: coreLimitArgs(),
    hardProcesses: hardProcessLimit(),
    rootEntries: findRootEntries(),
    etcEntries: findEtcEntries(),
    maskedProc: findMaskedProc(),
    stagingDir: findStagingDir([bwrap, setpriv ?? bwrap]),
    canDisableUserns: features.canDisableUserns,
  };
}

/** The lines about options among a program's strings. */
function readProgramText(program: string): string {
  try {
    return (
      readFileSync(program, "latin1")
        .match(/ {4}--[ -~]+/g)
        ?.join("\n") ?? ""
    );
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    return "";
  }
}

/** Links are left out: bubblewrap would follow them to wherever they lead. */
function findEtcEntries(): readonly string[] {
  return readdirSync("/etc", { withFileTypes: true })
    .filter((it) => ETC_ENTRIES.test(it.name) && !it.isSymbolicLink())
    .map((it) => it.name)
    .sort();
}

function findMaskedProc(): HostLayout["maskedProc"] {
  return [
    ...HOST_PROC_FILES.filter(isReadableByAll).map((name) => ({ name, isDirectory: false })),
    ...HOST_PROC_DIRECTORIES.filter(isDirectory).map((name) => ({ name, isDirectory: true })),
  ];
}

function isReadableByAll(name: string): boolean {
  const found = orNothing(() => statSync(`/proc/${name}`));
  return found?.isFile() === true && (found.mode & 0o004) !== 0;
}

function isDirectory(name: string): boolean {
  return orNothing(() => statSync(`/proc/${name}`))?.isDirectory() === true;
}

function orNothing(look: () => Stats): Stats | undefined {
  try {
    return look();
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    return undefined;
  }
}

function findRootEntries(): HostLayout["rootEntries"] {
  return ROOT_ENTRIES.flatMap((name) => describeRootEntry(name) ?? []);
}

function describeRootEntry(name: string): HostLayout["rootEntries"][number] | undefined {
  const found = orNothing(() => lstatSync(`/${name}`));
  if (found === undefined) return undefined;
  if (!found.isSymbolicLink()) return { name, linkTarget: undefined };
  const target = readlinkSync(`/${name}`).replace(/^\//, "");
  return { name, linkTarget: target.startsWith("usr/") ? target : undefined };
}

function findStagingDir(programs: readonly string[]): HostPath {
  const isUsable = (candidate: string): boolean =>
    orNothing(() => lstatSync(candidate))?.isDirectory() === true &&
    !programs.some((program) => program.startsWith(`${candidate}/`));
  return parseHostPath(STAGING_CANDIDATES.find(isUsable) ?? "/tmp");
}
