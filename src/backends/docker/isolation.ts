/**
 * Checks a running guest from outside: the engine's own record of the container, and, where its first process is one of this
 * kernel's, what the kernel says of it. Nothing that the guest could say is asked.
 */
import { readFileSync, readlinkSync } from "node:fs";
import { systemCode } from "../../base/errors.ts";
import type { ContainerBody } from "../../engine/contract.ts";
import type { ContainerInspect } from "../../engine/schemas.ts";
import { renderSeccompProfile } from "./seccomp.ts";

type Fact = string | number | boolean | undefined;

const NAMESPACES = ["net", "pid", "mnt", "ipc", "uts"] as const;
const NO_CAPABILITY = "0".repeat(16);

/** What is wrong in the engine's record; empty when nothing. Pure. */
export function inspectRecord(record: ContainerInspect, body: ContainerBody): readonly string[] {
  const { HostConfig: host } = record;
  const wanted = body.HostConfig;
  const facts: readonly (readonly [string, Fact, Fact])[] = [
    ["running", record.State.Running, true],
    ["its network", host.NetworkMode, wanted.NetworkMode],
    ["networks it is on", networksOf(record), wanted.NetworkMode],
    ["its name servers", host.Dns.join(), wanted.Dns?.join() ?? ""],
    ["privileged", host.Privileged, false],
    ["a read-only root", host.ReadonlyRootfs, true],
    ["added capabilities", host.CapAdd.join(), ""],
    ["dropped capabilities", host.CapDrop.join(), "ALL"],
    ["new privileges", host.SecurityOpt.includes("no-new-privileges"), true],
    ["its system-call filter", filterOf(host.SecurityOpt), "ours"],
    ["devices", host.Devices.length + host.DeviceRequests.length, 0],
    ["volumes of others", host.VolumesFrom.length, 0],
    ["the pid namespace", host.PidMode, ""],
    ["the ipc namespace", host.IpcMode, "private"],
    ["the uts namespace", host.UTSMode, ""],
    ["published ports", publishedOf(record), ""],
    ["its user", record.Config.User, body.User],
    ["its runtime", host.Runtime, wanted.Runtime ?? host.Runtime],
    ["its limit of memory", host.Memory, wanted.Memory ?? 0],
    ["its limit of processes", host.PidsLimit, wanted.PidsLimit ?? 0],
    ["its limit of processors", host.NanoCpus, wanted.NanoCpus ?? 0],
  ];
  const faults = facts.flatMap(([what, seen, expected]) =>
    seen === expected
      ? []
      : [`the engine's record says ${what}: "${String(seen)}", not "${String(expected)}"`],
  );
  return [...faults, ...mountFaults(record, body)];
}

/** Too long to be shown: what differs is whether it is ours. */
function filterOf(options: readonly string[]): string {
  const filters = options.filter((option) => option.startsWith("seccomp"));
  return filters.join() === `seccomp=${renderSeccompProfile()}` ? "ours" : "another";
}

function networksOf(record: ContainerInspect): string {
  return Object.keys(record.NetworkSettings.Networks).join();
}

function publishedOf(record: ContainerInspect): string {
  const { Ports } = record.NetworkSettings;
  return Object.keys(Ports)
    .filter((port) => (Ports[port]?.length ?? 0) > 0)
    .join();
}

/** Every mount is one that was asked for, and none is writable that was not asked to be. */
function mountFaults(record: ContainerInspect, body: ContainerBody): readonly string[] {
  const wanted = new Map((body.HostConfig.Mounts ?? []).map((mount) => [mount.Target, mount]));
  return record.Mounts.flatMap(({ Type, Destination, RW }) => {
    if (Type === "tmpfs") return [];
    const mount = wanted.get(Destination);
    if (mount === undefined) return [`the engine mounted ${Destination}, which nobody asked for`];
    return RW && mount.ReadOnly ? [`${Destination} is writable in the guest`] : [];
  });
}

/** What the kernel shows wrong of the guest's first process; empty when nothing, or where it shows nothing. */
export function inspectProcess(
  pid: number,
  expected: { readonly uid: number; readonly sharesKernelApi: boolean },
): readonly string[] {
  try {
    const namespaces = expected.sharesKernelApi ? NAMESPACES : (["net"] as const);
    const faults = namespaces.flatMap((name) => sharedNamespace(pid, name));
    return expected.sharesKernelApi ? [...faults, ...statusFaults(pid, expected.uid)] : faults;
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    return [`the guest's first process cannot be inspected: ${systemCode(error)}`];
  }
}

function sharedNamespace(pid: number, name: string): readonly string[] {
  try {
    const [theirs, ours] = [pid, "self"].map((of) => readlinkSync(`/proc/${of}/ns/${name}`));
    return theirs === ours ? [`the guest shares the host's ${name} namespace`] : [];
  } catch (error) {
    // Another user's process: the engine's record is what is left to ask.
    if (systemCode(error) === "EACCES" || systemCode(error) === "EPERM") return [];
    throw error;
  }
}

function statusFaults(pid: number, uid: number): readonly string[] {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const field = (name: string): string =>
    new RegExp(`^${name}:\\s*(.*)$`, "m").exec(status)?.[1]?.trim() ?? "";
  const expected: Readonly<Record<string, string>> = {
    NoNewPrivs: "1",
    Seccomp: "2",
    ...Object.fromEntries(
      ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"].map((set) => [set, NO_CAPABILITY]),
    ),
    Uid: Array.from({ length: 4 }, () => String(uid)).join("\t"),
  };
  return Object.entries(expected).flatMap(([name, wanted]) =>
    field(name) === wanted
      ? []
      : [`the guest's first process has ${name} "${field(name)}", not "${wanted}"`],
  );
}
