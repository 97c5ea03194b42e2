/**
 * Checks a running guest's isolation from outside: what the kernel says of its first processes. Nothing that the guest
 * could say is asked.
 */
import { readFile, readlink } from "node:fs/promises";
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

/** What is wrong; empty when nothing. */
export async function inspectIsolation(options: IsolationOptions): Promise<readonly string[]> {
  const { hostPid } = options;
  try {
    const children = await readChildren(hostPid);
    const faults = await Promise.all([
      ...NAMESPACES.map((name) => inspectNamespace(hostPid, name)),
      inspectMapping(hostPid, "uid_map", options.hostUid),
      inspectMapping(hostPid, "gid_map", options.hostGid),
      ...[hostPid, ...children].map((pid) => inspectStatus(pid, options.hostUid)),
    ]);
    if (children.length === 0)
      return [...faults.flat(), "the guest's first process has no child: guest-init is gone"];
    return faults.flat();
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    return [`the guest cannot be inspected: ${systemCode(error)}`];
  }
}

async function inspectNamespace(
  pid: number,
  name: (typeof NAMESPACES)[number],
): Promise<readonly string[]> {
  const [theirs, ours] = await Promise.all([
    readlink(`/proc/${pid}/ns/${name}`),
    readlink(`/proc/self/ns/${name}`),
  ]);
  return theirs === ours ? [`the guest shares the host's ${name} namespace`] : [];
}

async function inspectMapping(
  pid: number,
  file: "uid_map" | "gid_map",
  hostId: number,
): Promise<readonly string[]> {
  const lines = (await readFile(`/proc/${pid}/${file}`, "utf8")).trim().split("\n");
  const [inside, outside, length] = (lines[0] ?? "").trim().split(/\s+/).map(Number);
  const isExpected =
    lines.length === 1 && inside === GUEST_UID && outside === hostId && length === 1;
  return isExpected ? [] : [`the guest's ${file} is not "${GUEST_UID} ${hostId} 1"`];
}

async function inspectStatus(pid: number, hostUid: number): Promise<readonly string[]> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
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

async function readChildren(pid: number): Promise<readonly number[]> {
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, "utf8");
  return text
    .split(" ")
    .map(Number)
    .filter((child) => child > 0);
}
