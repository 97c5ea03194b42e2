/** The processes of a machine on the host: found by what they were started with, so that a dead owner's can be ended too. */
import { readdirSync, readFileSync } from "node:fs";
import type { Clock } from "../../base/clock.ts";
import { systemCode } from "../../base/errors.ts";
import { isAlive, type ProcessIdentity, readStartTime } from "../../process/identity.ts";

/** Argument with which smolvm starts itself as a machine. */
const BOOT_VERB = "_boot-vm";
/** Variable by which every command of ours is told where its state is. */
export const STATE_VARIABLE = "SMOLVM_DATA_DIR";
/** Time for a killed machine to be gone; its memory is given back first. */
const GONE_MS = 3_000;
const GONE_STEP_MS = 20;

/**
 * Machines whose state lies below `state` as they see it, and the commands of ours that work on it: one that is still starting a
 * machine when its owner is killed would go on. Empty where there is no /proc.
 */
export function findProcesses(state: string): readonly ProcessIdentity[] {
  return listPids().flatMap((pid) => {
    if (!isMachine(pid, state) && !isCommand(pid, state)) return [];
    const startTime = readStartTime(pid);
    return startTime === undefined ? [] : [{ pid, startTime }];
  });
}

function isMachine(pid: number, state: string): boolean {
  const argv = readStrings(pid, "cmdline");
  return argv.includes(BOOT_VERB) && argv.some((arg) => arg.startsWith(`${state}/`));
}

/** Also before it has become smolvm: the environment is given to what leads to it. */
const isCommand = (pid: number, state: string): boolean =>
  readStrings(pid, "environ").includes(`${STATE_VARIABLE}=${state}`);

/** Fields of a process that show how it is confined; undefined when it is gone or cannot be asked. */
export function readConfinement(
  pid: number,
):
  | { readonly uid: number; readonly noNewPrivs: boolean; readonly isFiltered: boolean }
  | undefined {
  const status = readText(`/proc/${pid}/status`);
  if (status === undefined) return undefined;
  const field = (name: string): string =>
    new RegExp(`^${name}:\\s*(\\d+)`, "m").exec(status)?.[1] ?? "";
  return {
    uid: Number(field("Uid")),
    noNewPrivs: field("NoNewPrivs") === "1",
    isFiltered: field("Seccomp") === "2",
  };
}

/** Waits, within a bound, for a machine that was killed. */
export async function waitUntilGone(
  machine: ProcessIdentity,
  { clock }: { readonly clock: Clock },
): Promise<void> {
  const giveUpAt = clock.monotonic() + GONE_MS;
  while (isAlive(machine) && clock.monotonic() < giveUpAt) await clock.sleep(GONE_STEP_MS);
}

function listPids(): readonly number[] {
  try {
    return readdirSync("/proc")
      .filter((name) => /^\d+$/.test(name))
      .map(Number);
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    return [];
  }
}

const readStrings = (pid: number, file: "cmdline" | "environ"): readonly string[] =>
  (readText(`/proc/${pid}/${file}`) ?? "").split("\0");

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    return undefined;
  }
}
