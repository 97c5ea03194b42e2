/**
 * Chooses the mechanism that holds each limit. A limit that nothing on this machine can hold refuses the launch; which
 * mechanism was chosen is reported, never assumed.
 */
import { HostError } from "../../base/errors.ts";
import type { LimitReport, LimitsPlan } from "../contract.ts";
import {
  type CgroupParent,
  type CgroupParents,
  type CgroupPlan,
  cgroupDirectory,
} from "./cgroup.ts";

/** Tasks of our own around the guest (bubblewrap twice, the shell step) that its group counts too. */
export const OWN_TASKS = 16;
/** Period of the processor quota; the kernel's default. */
const CPU_PERIOD_US = 100_000;

/** What this machine offers for holding limits. */
export interface LimitHost {
  readonly cgroups: CgroupParents;
  /** Controllers that systemd delegates to this user, and the program; undefined where it does not. */
  readonly systemd:
    | {
        readonly program: string;
        readonly controllers: readonly string[];
        readonly runtimeDir: string;
      }
    | undefined;
  readonly hasPrlimit: boolean;
}

/** How the limits of one guest are held. */
export interface ChosenLimits {
  readonly report: LimitReport;
  readonly cgroups: readonly CgroupPlan[];
  /** Command in front of the chain, and the variables that it needs. */
  readonly prefix: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Bytes that the watchdog holds the guest to. */
  readonly watchedBytes: number | undefined;
}

type File = CgroupPlan["files"][number];
const file = (name: string, value: number | string, isOptional = false): File => ({
  name,
  value: String(value),
  isOptional,
});

function memoryFiles(version: 1 | 2, bytes: number): readonly File[] {
  return version === 2
    ? [file("memory.max", bytes), file("memory.swap.max", 0, true)]
    : [file("memory.limit_in_bytes", bytes), file("memory.memsw.limit_in_bytes", bytes, true)];
}

function cpuFiles(version: 1 | 2, cpus: number): readonly File[] {
  const quota = Math.max(1_000, Math.round(cpus * CPU_PERIOD_US));
  return version === 2
    ? [file("cpu.max", `${quota} ${CPU_PERIOD_US}`)]
    : [file("cpu.cfs_period_us", CPU_PERIOD_US), file("cpu.cfs_quota_us", quota)];
}

interface Claim {
  readonly parent: CgroupParent;
  readonly files: readonly File[];
}

/** Chooses for all limits. Throws HostError `host.limit-unavailable` when one cannot be held. */
export function chooseLimits(id: string, limits: LimitsPlan, host: LimitHost): ChosenLimits {
  requirePrlimit(limits, host);
  requireCpus(limits, host);
  const { memory, pids, cpu } = host.cgroups;
  const { memoryBytes, processes, cpus } = limits;
  const claims: Claim[] = [];
  const claim = (
    parent: CgroupParent | undefined,
    files: (version: 1 | 2) => readonly File[],
  ): void => {
    if (parent !== undefined) claims.push({ parent, files: files(parent.version) });
  };
  if (memoryBytes !== undefined) claim(memory, (version) => memoryFiles(version, memoryBytes));
  if (processes !== undefined) claim(pids, () => [file("pids.max", processes + OWN_TASKS)]);
  if (cpus !== undefined) claim(cpu, (version) => cpuFiles(version, cpus));
  const systemd = chooseSystemd(id, limits, host);
  const isWatched =
    memoryBytes !== undefined && memory === undefined && !systemd.holds.includes("memory");
  return {
    report: {
      memory:
        memoryBytes === undefined
          ? "none"
          : nameOf(memory, isWatched ? "watched" : "systemd scope"),
      processes:
        processes === undefined
          ? "none"
          : ["rlimit", ...(pids === undefined ? [] : [nameOf(pids, "")])].join(", "),
      cpus: cpus === undefined ? "none" : nameOf(cpu, "systemd scope"),
    },
    cgroups: mergeClaims(id, claims),
    prefix: systemd.prefix,
    env: systemd.env,
    watchedBytes: isWatched ? memoryBytes : undefined,
  };
}

const nameOf = (parent: CgroupParent | undefined, otherwise: string): string =>
  parent === undefined ? otherwise : `cgroup v${parent.version}`;

function requirePrlimit(limits: LimitsPlan, host: LimitHost): void {
  if (limits.processes === undefined || host.hasPrlimit) return;
  throw new HostError(
    "host.limit-unavailable",
    "the limit on processes cannot be held: prlimit was not found below /usr",
    {
      hint: "install util-linux, or remove limits.processes from the bottle",
    },
  );
}

function requireCpus(limits: LimitsPlan, host: LimitHost): void {
  if (limits.cpus === undefined || host.cgroups.cpu !== undefined) return;
  if (host.systemd?.controllers.includes("cpu") === true) return;
  throw new HostError(
    "host.limit-unavailable",
    "the limit on processors cannot be held: no control group with cpu can be made by this user, and systemd delegates none",
    { hint: "remove limits.cpus from the bottle, or let systemd delegate cpu to user@.service" },
  );
}

/** One group may hold several controllers (v2); each controller of v1 has a hierarchy of its own. */
function mergeClaims(id: string, claims: readonly Claim[]): readonly CgroupPlan[] {
  const files = new Map<string, { readonly parent: CgroupParent; readonly files: File[] }>();
  for (const { parent, files: more } of claims) {
    const known = files.get(parent.directory) ?? { parent, files: [] };
    known.files.push(...more);
    files.set(parent.directory, known);
  }
  return [...files.values()].map((entry) => ({
    directory: cgroupDirectory(entry.parent, id),
    files: entry.files,
  }));
}

interface SystemdChoice {
  readonly holds: readonly string[];
  readonly prefix: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

function chooseSystemd(id: string, limits: LimitsPlan, host: LimitHost): SystemdChoice {
  const { systemd, cgroups } = host;
  const properties: string[] = [];
  const holds: string[] = [];
  const isWanted = (name: "memory" | "cpu"): boolean =>
    cgroups[name] === undefined && systemd?.controllers.includes(name) === true;
  if (limits.memoryBytes !== undefined && isWanted("memory")) {
    properties.push(`MemoryMax=${limits.memoryBytes}`, "MemorySwapMax=0");
    holds.push("memory");
  }
  if (limits.cpus !== undefined && isWanted("cpu")) {
    properties.push(`CPUQuota=${Math.max(1, Math.round(limits.cpus * 100))}%`);
    holds.push("cpu");
  }
  if (systemd === undefined || properties.length === 0) return { holds: [], prefix: [], env: {} };
  return {
    holds,
    prefix: renderScope(systemd.program, `bot-bottle-${id}`, properties),
    env: systemdEnv(systemd.runtimeDir),
  };
}

/** The command that puts what follows into a scope of the user's systemd; it replaces itself, so the pid stays. */
export function renderScope(
  program: string,
  unit: string,
  properties: readonly string[],
): readonly string[] {
  return [
    program,
    ...["--user", "--scope", "--quiet", "--collect", `--unit=${unit}`],
    ...properties.map((property) => `--property=${property}`),
    "--",
  ];
}

/** Variables by which systemd-run finds the user's manager. */
export function systemdEnv(runtimeDir: string): Readonly<Record<string, string>> {
  return { XDG_RUNTIME_DIR: runtimeDir, DBUS_SESSION_BUS_ADDRESS: `unix:path=${runtimeDir}/bus` };
}
