/**
 * Checks a running guest's isolation from outside: what the kernel says of its first processes. Nothing that the guest
 * could say is asked.
 */
import { readFileSync, readlinkSync } from "node:fs";
import { systemCode } from "../../base/errors.ts";
import { GUEST_UID } from "./render.ts";

const NAMESPACES = ["net", "pid", "mnt", "user", "ipc", "uts", "cgroup"] as const;

export interface IsolationOptions {
  /** The guest's first process, as a pid of ours. */
  readonly hostPid: number;
  /** What the guest must be on the host. */
  readonly hostUid: number;
  readonly hostGid: number;
}

/** What is wrong; empty when nothing. Without promises: thirty files of /proc are read in a millisecond. */
export function inspectIsolation(options: IsolationOptions): readonly string[] {
  const { hostPid } = options;
  try {
    const children = readChildren(hostPid);
    const faults = [
      ...NAMESPACES.map((name) => inspectNamespace(hostPid, name)),
      inspectMapping(hostPid, "uid_map", options.hostUid),
      inspectMapping(hostPid, "gid_map", options.hostGid),
      ...[hostPid, ...children].map((pid) => inspectStatus(pid, options.hostUid)),
    ].flat();
    if (children.length === 0)
      return [...faults, "the guest's first process has no child: guest-init is gone"];
    return faults;
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    return [`the guest cannot be inspected: ${systemCode(error)}`];
  }
}

function inspectNamespace(pid: number, name: (typeof NAMESPACES)[number]): readonly string[] {
  const [theirs, ours] = [pid, "self"].map((of) => readlinkSync(`/proc/${of}/ns/${name}`));
  return theirs === ours ? [`the guest shares the host's ${name} namespace`] : [];
}

function inspectMapping(
  pid: number,
  file: "uid_map" | "gid_map",
  hostId: number,
): readonly string[] {
  const lines = readFileSync(`/proc/${pid}/${file}`, "utf8").trim().split("\n");
  const [inside, outside, length] = (lines[0] ?? "").trim().split(/\s+/).map(Number);
  const isExpected =
    lines.length === 1 && inside === GUEST_UID && outside === hostId && length === 1;
  return isExpected ? [] : [`the guest's ${file} is not "${GUEST_UID} ${hostId} 1"`];
}

function inspectStatus(pid: number, hostUid: number): readonly string[] {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const field = (name: string): string =>
    new RegExp(`^${name}:\\s*(.*)$`, "m").exec(status)?.[1]?.trim() ?? "";
  const faults: string[] = [];
  const expect = (name: string, wanted: string): void => {
    if (field(name) !== wanted)
      faults.push(`process ${pid} has ${name} "${field(name)}", not "${wanted}"`);
  };
  expect("NoNewPrivs", "1");
  expect("Seccomp", "2");
  for (const set of ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"]) expect(set, "0".repeat(16));
  expect("Uid", Array.from({ length: 4 }, () => String(hostUid)).join("\t"));
  return faults;
}

function readChildren(pid: number): readonly number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8");
  return text
    .split(" ")
    .map(Number)
    .filter((child) => child > 0);
}
