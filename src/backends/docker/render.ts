/**
 * What a guest's container is made of. Pure: plan and facts to the body of one API call. Invariant: no capability, no way to get
 * one, a root that cannot be written, no network but the plan's, nothing of the host but what the plan names.
 */
import type {
  ContainerBody,
  ExecBody,
  HostConfigBody,
  Labels,
  MountBody,
} from "../../engine/contract.ts";
import type { GuestPlan } from "../contract.ts";
import { guestLabels } from "./names.ts";
import { renderSeccompProfile } from "./seccomp.ts";

/** Where our files are in the guest. */
export const GUEST_TOOLS = "/opt/bot-bottle";
/** The guest's first program of ours. */
export const GUEST_INIT: string = `${GUEST_TOOLS}/guest-init.js`;
/** Our own Node in the guest, where the image has none. */
export const GUEST_NODE: string = `${GUEST_TOOLS}/node`;

/**
 * The first process holds the lease: a shell that reaps what is orphaned, and ends with the container's input, which ends with the
 * owner. It and its reader are of a user of their own, so that no program of the guest can stop them, end them, or keep that input
 * open through their descriptors.
 */
const FIRST_PROCESS =
  'exec 3<&0 </dev/null; while read -r _; do :; done <&3 3<&- & exec 3<&- >/dev/null; wait "$!"';
/** Users of the first process: the second where the guest's own is the first. */
const KEEPERS = [65_534, 65_533] as const;

/** The user of the first process, which is never the guest's. Pure. */
export function keeperOf(uid: number): number {
  return uid === KEEPERS[0] ? KEEPERS[1] : KEEPERS[0];
}

/** How the guest's Node is found: the image's own, or ours. */
export interface GuestNode {
  readonly path: string;
  readonly isOurs: boolean;
}

/** What of the machine the container depends on. */
export interface ContainerFacts {
  /** Id of the image, never a name: a name may move. */
  readonly image: string;
  readonly node: GuestNode;
  /** Undefined: the engine's default. */
  readonly runtime: string | undefined;
  readonly uid: number;
  readonly gid: number;
  /** Tasks of our own that the limit on processes must leave room for. */
  readonly ownTasks: number;
  /** Host file → guest path, single files that replace the image's. */
  readonly etcFiles: readonly EtcFile[];
  /** Labels that say whose the container is. */
  readonly ownership: Labels;
}

/** A file of the guest's /etc. */
export interface EtcFile {
  readonly hostPath: string;
  readonly guestPath: string;
}

/** The container of a guest. */
export function renderContainer(plan: GuestPlan, facts: ContainerFacts): ContainerBody {
  return {
    Image: facts.image,
    Entrypoint: ["/bin/sh", "-c", FIRST_PROCESS, "sh"],
    Cmd: [],
    // What the image sets is for its programs, not for ours.
    Env: ["NODE_OPTIONS="],
    User: `${keeperOf(facts.uid)}:${keeperOf(facts.uid)}`,
    WorkingDir: "/",
    Hostname: plan.hostname.slice(0, MAX_HOSTNAME),
    Labels: guestLabels(plan.id, facts.ownership),
    ...{ AttachStdin: true, AttachStdout: true, AttachStderr: true },
    // With the owner's connection goes the container's input, and with it the lease.
    ...{ OpenStdin: true, StdinOnce: true, Tty: false },
    Healthcheck: { Test: ["NONE"] },
    HostConfig: {
      ...CONFINEMENT,
      SecurityOpt: ["no-new-privileges", `seccomp=${renderSeccompProfile()}`],
      ...limitsOf(plan, facts),
      ...(facts.runtime === undefined ? {} : { Runtime: facts.runtime }),
      ...networkOf(plan),
      Mounts: mountsOf(plan, facts),
      Tmpfs: tmpfsOf(plan, facts),
      ShmSize: plan.limits.tmpfsBytes,
    },
  };
}

/** guest-init, which the engine starts beside the first process: its input and output are the connection to the owner. */
export function renderInit(facts: Pick<ContainerFacts, "node" | "uid" | "gid">): ExecBody {
  return {
    Cmd: [facts.node.path, GUEST_INIT, "-"],
    Env: ["NODE_OPTIONS="],
    User: `${facts.uid}:${facts.gid}`,
    WorkingDir: "/",
    ...{ Tty: false, AttachStdin: true, AttachStdout: true, AttachStderr: true },
  };
}

/** Longest host name that the kernel takes. */
const MAX_HOSTNAME = 63;

const CONFINEMENT = {
  // Whoever ends it, and also when nobody is left to.
  AutoRemove: true,
  RestartPolicy: { Name: "no" },
  ReadonlyRootfs: true,
  CapDrop: ["ALL"],
  IpcMode: "private",
  CgroupnsMode: "private",
  // Its output is the protocol: there is nothing to keep, and a guest could fill the disk with it.
  LogConfig: { Type: "none" },
} as const satisfies HostConfigBody;

function limitsOf({ limits }: GuestPlan, facts: ContainerFacts): HostConfigBody {
  const { memoryBytes, processes, cpus } = limits;
  return {
    // Without swap: a limit that only moves pages to the disk is none.
    ...(memoryBytes === undefined ? {} : { Memory: memoryBytes, MemorySwap: memoryBytes }),
    ...(processes === undefined ? {} : { PidsLimit: processes + facts.ownTasks }),
    ...(cpus === undefined ? {} : { NanoCpus: Math.round(cpus * 1e9) }),
  };
}

/** With sockets no network at all; otherwise the bottle's own, whose names the engine may not look up elsewhere. */
function networkOf(plan: GuestPlan): HostConfigBody {
  const { network } = plan;
  if (network === undefined) return { NetworkMode: "none" };
  return { NetworkMode: network.name, Dns: [network.bundleAddress] };
}

/** Sorted by the engine: what lies deeper is mounted later. */
function mountsOf(plan: GuestPlan, facts: ContainerFacts): readonly MountBody[] {
  const mounts = [bind(plan.homeDir, plan.guestHome, "rw")];
  if (plan.workspaceDir !== undefined && plan.guestWorkspace !== undefined)
    mounts.push(bind(plan.workspaceDir, plan.guestWorkspace, "rw"));
  if (plan.attachment === "sockets") mounts.push(bind(plan.doorsDir, plan.guestDoors, "ro"));
  for (const { hostPath, guestPath } of [...plan.mounts, ...facts.etcFiles])
    mounts.push(bind(hostPath, guestPath, "ro"));
  mounts.push(bind(plan.guestInitPath, GUEST_INIT, "ro"));
  if (facts.node.isOurs) mounts.push(bind(plan.nodePath, GUEST_NODE, "ro"));
  return mounts;
}

/**
 * A bind of a file or directory; nothing that is mounted later on either side is seen on the other. What is mounted below it is
 * not taken along: an engine makes only the top of a tree read-only.
 */
export function bind(source: string, target: string, mode: "ro" | "rw"): MountBody {
  return {
    Type: "bind",
    Source: source,
    Target: target,
    ReadOnly: mode === "ro",
    BindOptions: { Propagation: "rprivate", NonRecursive: true },
  };
}

/** Directories of the image's that the engine would give a volume for: a disk of its own, on which nothing limits the guest. Pure. */
export function findVolumes(
  volumes: readonly string[],
  { Mounts = [], Tmpfs = {} }: HostConfigBody,
): readonly string[] {
  const taken = new Set([...Mounts.map(({ Target }) => Target), ...Object.keys(Tmpfs)]);
  return volumes.filter((path) => !taken.has(path));
}

function tmpfsOf(plan: GuestPlan, facts: ContainerFacts): Readonly<Record<string, string>> {
  const size = `size=${plan.limits.tmpfsBytes}`;
  return {
    "/tmp": `rw,exec,nosuid,nodev,mode=1777,${size}`,
    "/var/tmp": `rw,exec,nosuid,nodev,mode=1777,${size}`,
    "/run": `rw,noexec,nosuid,nodev,mode=755,uid=${facts.uid},gid=${facts.gid},${size}`,
  };
}
