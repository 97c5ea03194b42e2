/**
 * Descriptors that we were started with and that a child would get unasked. Node marks 0-15 close-on-exec at its start
 * and opens everything else so; an inherited one from 16 up stays open across exec, and with it the guest's way to it.
 */
import { closeSync, readdirSync, readFileSync } from "node:fs";
import { systemCode } from "../base/errors.ts";
import type { StdioEntry } from "./exec.ts";

/** O_CLOEXEC as Linux shows it in /proc/PID/fdinfo, the same on every architecture that Node runs on. */
const CLOSE_ON_EXEC = 0o2000000;

/** Our descriptors from 3 up that children would inherit. Empty on macOS, where spawning closes all that is not passed. */
export function findInheritable(): readonly number[] {
  return listDescriptors().filter((fd) => fd > 2 && isInheritable(fd));
}

/**
 * Closes every inherited descriptor that children would get. For the first line of an entry point only: a library cannot
 * know whose they are.
 */
export function closeInherited(): readonly number[] {
  const found = findInheritable();
  for (const fd of found) closeSync(fd);
  return found;
}

/** True when `fd` is open and survives exec. */
export function isInheritable(fd: number): boolean {
  try {
    const flags = /^flags:\s*([0-7]+)/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "latin1"));
    return flags?.[1] !== undefined && (Number.parseInt(flags[1], 8) & CLOSE_ON_EXEC) === 0;
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    return false;
  }
}

function listDescriptors(): readonly number[] {
  try {
    return readdirSync("/proc/self/fd").map(Number);
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    return [];
  }
}

/**
 * Covers what would leak with /dev/null at the same number: nothing else can be done to a descriptor of a child from here,
 * and a shell could not help either (dash closes one-digit numbers only).
 */
export function coverInherited(
  stdio: readonly StdioEntry[],
  leaks: readonly number[],
  nullDevice: number,
): StdioEntry[] {
  const covered = [...stdio];
  for (const fd of leaks) {
    while (covered.length <= fd) covered.push("ignore");
    if (covered[fd] === "ignore") covered[fd] = nullDevice;
  }
  return covered;
}
