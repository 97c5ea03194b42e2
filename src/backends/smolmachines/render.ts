/** Renders a guest plan to the exact arguments of smolvm, and finds what smolvm would accept and should not. Pure. */
import { type GuestPath, type HostPath, parseGuestPath } from "../../base/ids.ts";
import type { GuestPlan } from "../contract.ts";
import { type Access, reach } from "./access.ts";
import { hasFlag, type SmolvmFeatures } from "./features.ts";
import { GUEST_ETC, GUEST_KIT, OWN_TASKS, START_SCRIPT } from "./start-script.ts";

/** Longest path of a socket on every system, with room for what smolvm adds; smolvm takes longer ones and cuts them. */
export const MAX_SOCKET_PATH = 100;
/** Longest machine name that smolvm takes. */
const MAX_NAME_LENGTH = 128;
/** Label by which a machine is known as ours. */
export const BOTTLE_LABEL = "bot-bottle";
/** What smolvm gives a machine when nothing is asked for; never more than the host has. */
const DEFAULT_CPUS = 4;
const DEFAULT_MEMORY_MIB = 8192;
const MIB = 1_048_576;
/** Shares that one machine may have, as tried; each is a device, and smolvm without a choice of the user has room for few. */
export const MAX_VOLUMES = 8;
export const MAX_VOLUMES_OLD = 3;
/** Directories of the guest that belong to the image or to smolvm. */
const SYSTEM =
  /^\/(?:bin|boot|dev|etc|lib|lib32|lib64|libx32|proc|root|run|sbin|storage|sys|tmp|usr|var)?(?:\/|$)/;

/** What is known of this host and this launch beside the plan. */
export interface MachineLayout {
  readonly access: Access;
  readonly features: SmolvmFeatures;
  /** Archive of `docker save`, or a directory with a root file system. */
  readonly image: HostPath;
  /** Directory with our Node; undefined where there is no room for it. */
  readonly kitDir: HostPath | undefined;
  readonly hostCpus: number;
  readonly hostMemoryMiB: number;
}

/** Name of a bottle's machine; smolvm refuses two hyphens in a row. */
export function machineName(id: string): string {
  return `bot-bottle-${id}`.replace(/-{2,}/g, "-").slice(0, MAX_NAME_LENGTH).replace(/-+$/, "");
}

/** Processors and memory of the machine, which hold two of the limits. */
export function machineSize(
  plan: GuestPlan,
  host: Pick<MachineLayout, "hostCpus" | "hostMemoryMiB">,
): { readonly cpus: number; readonly memoryMiB: number } {
  const { cpus, memoryBytes } = plan.limits;
  return {
    cpus: cpus === undefined ? Math.min(DEFAULT_CPUS, host.hostCpus) : Math.floor(cpus),
    memoryMiB:
      memoryBytes === undefined
        ? Math.min(DEFAULT_MEMORY_MIB, host.hostMemoryMiB)
        : Math.floor(memoryBytes / MIB),
  };
}

/** One share of the host in the guest. */
export interface Volume {
  readonly hostPath: HostPath;
  readonly guestPath: GuestPath;
  readonly isReadOnly: boolean;
}

/** All shares, outer before inner. */
export function planVolumes(plan: GuestPlan, kitDir: HostPath | undefined): readonly Volume[] {
  const { homeDir, guestHome, workspaceDir, guestWorkspace, etcDir } = plan;
  const readOnly = (hostPath: HostPath, guestPath: string): Volume => ({
    hostPath,
    guestPath: parseGuestPath(guestPath),
    isReadOnly: true,
  });
  return [
    { hostPath: homeDir, guestPath: guestHome, isReadOnly: false },
    ...(workspaceDir === undefined || guestWorkspace === undefined
      ? []
      : [{ hostPath: workspaceDir, guestPath: guestWorkspace, isReadOnly: false }]),
    readOnly(etcDir, GUEST_ETC),
    ...(kitDir === undefined ? [] : [readOnly(kitDir, GUEST_KIT)]),
    ...plan.mounts.map((mount) => readOnly(mount.hostPath, mount.guestPath)),
  ];
}

/** Sockets of the host in the guest: the init door and one for each door. */
export function planSockets(
  plan: GuestPlan,
  access: Access,
): readonly { readonly hostPath: string; readonly guestPath: string }[] {
  return ["init", ...plan.doors.map(({ name }) => name)].map((name) => ({
    hostPath: `${reach(access, plan.doorsDir)}/${name}.sock`,
    guestPath: `${plan.guestDoors}/${name}.sock`,
  }));
}

/** Arguments that create the machine. It has no network: nothing here asks for one, and its status is checked before the start. */
export function renderCreate(plan: GuestPlan, layout: MachineLayout): readonly string[] {
  const { access, features } = layout;
  const { cpus, memoryMiB } = machineSize(plan, layout);
  return [
    ...["machine", "create", "--name", machineName(plan.id)],
    ...["--label", `${BOTTLE_LABEL}=${plan.id}`],
    ...["--image", reach(access, layout.image)],
    ...["--cpus", String(cpus), "--mem", String(memoryMiB)],
    ...planSockets(plan, access).flatMap(({ hostPath, guestPath }) => [
      "--mount-socket",
      `${hostPath}:${guestPath}`,
    ]),
    ...planVolumes(plan, layout.kitDir).flatMap(({ hostPath, guestPath, isReadOnly }) => [
      "--volume",
      `${reach(access, hostPath)}:${guestPath}${isReadOnly ? ":ro" : ""}`,
    ]),
    // The script gives up root itself; the image's own user could not prepare /etc.
    ...(hasFlag(features, "create", "user") ? ["--user", "0:0"] : []),
    ...(hasFlag(features, "create", "stop-on-exit") ? ["--stop-on-exit"] : []),
    ...["--", "/bin/sh", "-c", START_SCRIPT, "guest-init"],
    ...renderRights(plan, access),
    hasFlag(features, "create", "stop-on-exit") ? "self" : "off",
    `${plan.guestDoors}/init.sock`,
  ];
}

/** The guest's user, which is the one that runs the machine on the host, and its limit on processes. */
export function renderRights(plan: GuestPlan, access: Access): readonly [string, string, string] {
  const { processes } = plan.limits;
  return [
    String(access.uid),
    String(access.gid),
    processes === undefined ? "" : String(processes + OWN_TASKS),
  ];
}

/** What smolvm would take and must not be given; empty when nothing. */
export function findPlanFaults(plan: GuestPlan, layout: MachineLayout): readonly string[] {
  const { access } = layout;
  const volumes = planVolumes(plan, layout.kitDir);
  const targets = volumes.map(({ guestPath }) => guestPath);
  return [
    ...planSockets(plan, access).flatMap(({ hostPath, guestPath }) =>
      findSocketFaults(hostPath, guestPath),
    ),
    ...volumes.flatMap((volume) => findPathFaults(volume, access)),
    ...plan.mounts.flatMap(({ guestPath }) => findTargetFaults(guestPath, plan)),
    ...targets
      .filter((path, index) => targets.indexOf(path) !== index)
      .map((path) => `"${path}" is mounted twice`),
    ...findCountFaults(volumes.length, layout.features),
    ...(reach(access, layout.image).startsWith("/") ? [] : ["the image's path is not absolute"]),
  ];
}

/** How many directories a machine of this smolvm shares. */
export function maxVolumes(features: SmolvmFeatures): number {
  return hasFlag(features, "create", "user") ? MAX_VOLUMES : MAX_VOLUMES_OLD;
}

function findCountFaults(count: number, features: SmolvmFeatures): readonly string[] {
  const most = maxVolumes(features);
  if (count <= most) return [];
  return [
    `${count} directories are to be shared; smolvm ${features.version} shares at most ${most}`,
  ];
}

function findSocketFaults(hostPath: string, guestPath: string): readonly string[] {
  const bytes = Buffer.byteLength(hostPath);
  return [
    ...(hostPath.startsWith("/") ? [] : [`the socket's path "${hostPath}" is not absolute`]),
    ...(bytes > MAX_SOCKET_PATH
      ? [`the socket's path ${hostPath} has ${bytes} bytes; at most ${MAX_SOCKET_PATH} fit`]
      : []),
    ...(/[:\n]/.test(hostPath) ? [`the socket's path "${hostPath}" holds a colon`] : []),
    ...(/^\/[^:;|\n]*$/.test(guestPath) ? [] : [`"${guestPath}" cannot be a socket in the guest`]),
  ];
}

function findPathFaults({ hostPath, guestPath }: Volume, access: Access): readonly string[] {
  return [reach(access, hostPath), guestPath]
    .filter((path) => /[:,\n]/.test(path))
    .map((path) => `"${path}" cannot be shared: its name holds a colon, a comma or a line break`);
}

function findTargetFaults(guestPath: GuestPath, plan: GuestPlan): readonly string[] {
  if (SYSTEM.test(guestPath)) return [`"${guestPath}" belongs to the guest's system`];
  const own = [plan.guestHome, plan.guestWorkspace].filter((path) => path !== undefined);
  return own
    .filter((path) => path === guestPath || path.startsWith(`${guestPath}/`))
    .map((path) => `"${guestPath}" would hide ${path}`);
}
