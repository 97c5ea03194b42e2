/**
 * Who a process is. A pid alone is reused; pid and start time of the same boot are not, so nothing is ever killed by its
 * pid alone.
 */
import { readFileSync, readlinkSync } from "node:fs";
import { systemCode } from "../base/errors.ts";
import { runSync } from "./spawn.ts";
import { sendSignal } from "./terminate.ts";

/** A process that cannot be mistaken for another of this boot. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Clock ticks since boot on Linux, seconds since the epoch elsewhere; empty when it could not be read. */
  readonly startTime: string;
}

/** This process, as a record names its owner. */
export interface Owner {
  readonly pid: number;
  readonly start_time: string;
  readonly boot_id: string;
  readonly pid_namespace: string;
}

/** This process now. */
export function readOwner(): Owner {
  return {
    pid: process.pid,
    start_time: readStartTime(process.pid) ?? "",
    boot_id: readBootId() ?? "",
    pid_namespace: readPidNamespace() ?? "",
  };
}

/** Identity of this boot of this machine; undefined when the system does not tell. */
export function readBootId(): string | undefined {
  const linux = readText("/proc/sys/kernel/random/boot_id");
  if (linux !== undefined) return linux.trim();
  return nonEmpty(runSync(["/usr/sbin/sysctl", "-n", "kern.bootsessionuuid"]));
}

/** Name of the pid namespace that our pids belong to, such as `pid:[4026531836]`; undefined where there is none. */
export function readPidNamespace(): string | undefined {
  try {
    return readlinkSync("/proc/self/ns/pid");
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    return undefined;
  }
}

/** When a process started; undefined when it is gone, a zombie, or cannot be asked. */
export function readStartTime(pid: number): string | undefined {
  if (!isPid(pid)) return undefined;
  if (process.platform !== "linux") return readStartTimeFromPs(pid);
  const stat = readText(`/proc/${pid}/stat`);
  return stat === undefined ? undefined : parseStartTime(stat);
}

/**
 * Field 22 of /proc/PID/stat, or undefined for a process that only waits to be reaped. The name in field 2 may hold
 * blanks and parentheses of its own, so fields are counted from the last `)`.
 */
export function parseStartTime(stat: string): string | undefined {
  const fields = stat
    .slice(stat.lastIndexOf(")") + 1)
    .trim()
    .split(/\s+/);
  const [state, startTime] = [fields[0], fields[19]];
  if (state === undefined || state === "Z" || state === "X") return undefined;
  return startTime !== undefined && /^\d+$/.test(startTime) ? startTime : undefined;
}

/** The start time in seconds since the epoch, as `ps` tells it: for systems without /proc. */
export function readStartTimeFromPs(pid: number): string | undefined {
  const text = nonEmpty(
    runSync(["ps", "-o", "lstart=", "-p", String(pid)], {
      PATH: "/usr/bin:/bin",
      LC_ALL: "C",
      TZ: "UTC",
    }),
  );
  const time = text === undefined ? Number.NaN : Date.parse(`${text} UTC`);
  return Number.isNaN(time) ? undefined : String(time / 1000);
}

/** True when this very process runs. With an unknown start time any process of that pid counts: nothing is removed by mistake. */
export function isAlive(identity: ProcessIdentity): boolean {
  const startTime = readStartTime(identity.pid);
  if (startTime === undefined) return false;
  return identity.startTime === "" || startTime === identity.startTime;
}

/** Whether what a record or label names as its owner lives: `elsewhere` is another pid namespace, of which nothing can be known. */
export function ownerState(owner: Owner | null, self: Owner): "alive" | "dead" | "elsewhere" {
  if (owner === null) return "dead";
  if (owner.boot_id !== self.boot_id) return "dead";
  if (owner.pid_namespace !== self.pid_namespace) return "elsewhere";
  return isAlive({ pid: owner.pid, startTime: owner.start_time }) ? "alive" : "dead";
}

/** Sends a signal if pid and start time both fit. False when that process is gone, or its start time is unknown. */
export function killIfSame(identity: ProcessIdentity, signal: NodeJS.Signals): boolean {
  // Pid 1 is never ours to end, even where a record says so.
  if (identity.pid <= 1 || identity.startTime === "" || !isAlive(identity)) return false;
  return sendSignal(identity.pid, signal);
}

/** 0 and negative numbers mean groups to kill(2). */
function isPid(pid: number): boolean {
  return Number.isSafeInteger(pid) && pid > 0;
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    return undefined;
  }
}

function nonEmpty(text: string | undefined): string | undefined {
  const trimmed = text?.trim() ?? "";
  return trimmed === "" ? undefined : trimmed;
}
