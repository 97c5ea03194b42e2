// Processor time and memory of a process and its descendants, from /proc.
import { readdirSync, readFileSync } from "node:fs";

function read(file: string): string {
  try {
    return readFileSync(file, "latin1");
  } catch {
    return "";
  }
}

function childrenOf(pid: number): readonly number[] {
  return read(`/proc/${pid}/task/${pid}/children`).trim().split(" ").filter(Boolean).map(Number);
}

/** The process and all below it. */
export function treeOf(pid: number): readonly number[] {
  return [pid, ...childrenOf(pid).flatMap(treeOf)];
}

/** Milliseconds on a processor, of all threads of all processes of a tree. */
export function cpuOf(pid: number): number {
  let ns = 0;
  for (const one of treeOf(pid)) {
    for (const task of list(`/proc/${one}/task`)) {
      ns += Number(read(`/proc/${one}/task/${task}/schedstat`).split(" ")[0] || 0);
    }
  }
  return ns / 1e6;
}

function list(directory: string): readonly string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

/** Resident memory of a tree in MiB. */
export function memoryOf(pid: number): number {
  const kib = treeOf(pid).map((one) =>
    Number(/VmRSS:\s+(\d+)/.exec(read(`/proc/${one}/status`))?.[1] ?? 0),
  );
  return kib.reduce((sum, it) => sum + it, 0) / 1024;
}
