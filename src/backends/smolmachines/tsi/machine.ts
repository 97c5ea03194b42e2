/** What is done in a machine by smolvm's own exec and copy, with the patience that this family needs. */
import { randomBytes } from "node:crypto";
import { closeSync, fchownSync, openSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Clock } from "../../../base/clock.ts";
import { LaunchError } from "../../../base/errors.ts";
import { type HostPath, parseHostPath } from "../../../base/ids.ts";
import type { RunResult } from "../../../process/exec.ts";
import { quoteShell } from "../../../process/quote-shell.ts";
import { explainExit } from "../explain.ts";
import type { Smolvm } from "../smolvm.ts";
import { GUEST_INBOX, renderCopy, renderShell } from "./render.ts";

/** Status of a program that was killed: right after the start this happens to any. */
export const KILLED = 137;
const EXEC_MS = 60_000;
/** Time for a machine to take programs, and the steps in which it is tried. */
const SETTLE_MS = 60_000;
const FIRST_STEP_MS = 50;
const MAX_STEP_MS = 1_000;
const VARIABLE_NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** A machine that has been started. */
export interface Machine {
  readonly smolvm: Smolvm;
  readonly name: string;
  readonly stateDir: HostPath;
  readonly clock: Clock;
  readonly signal?: AbortSignal | undefined;
}

/** Runs a script that may be repeated; once more when it was killed. Throws LaunchError or HostError. */
export async function runScript(
  machine: Machine,
  script: readonly string[],
  what: string,
): Promise<void> {
  const first = await tryScript(machine, script);
  const result = first.exitCode === KILLED ? await tryScript(machine, script) : first;
  if (result.exitCode !== 0) throw explainExit(what, result);
}

/** Runs a script whatever comes of it. */
export function tryScript(
  { smolvm, name, signal }: Machine,
  script: readonly string[],
): Promise<RunResult> {
  return smolvm.run(renderShell(smolvm.features, name, script), {
    what: "program not run",
    timeoutMs: EXEC_MS,
    signal,
  });
}

/** Waits until the machine runs programs. Throws LaunchError `launch.backend` when it does not in time. */
export async function settle(machine: Machine): Promise<void> {
  const { clock, signal } = machine;
  const giveUpAt = clock.monotonic() + SETTLE_MS;
  for (let step = FIRST_STEP_MS; ; step = Math.min(step * 2, MAX_STEP_MS)) {
    const result = await tryScript(machine, ["true"]);
    if (result.exitCode === 0) return;
    if (clock.monotonic() >= giveUpAt)
      throw explainExit("the machine does not take programs", result);
    await clock.sleep(step, signal);
  }
}

/**
 * Puts variables into the machine as a file that a script sources and removes: never an argument, never smolvm's record. Ours is
 * gone when this returns. Resolves with the file's path there.
 */
export async function forwardEnv(
  { smolvm, name, stateDir, signal }: Machine,
  env: Readonly<Record<string, string>>,
): Promise<string> {
  const file = `env-${randomBytes(8).toString("hex")}`;
  const own = parseHostPath(join(stateDir, file));
  const path = `${GUEST_INBOX}/${file}`;
  try {
    const { access } = smolvm;
    writeFor(access, own, renderEnv(env));
    const what = "variables not copied into the machine";
    await smolvm.command(renderCopy(access, own, { machine: name, path }), { what, signal });
    return path;
  } finally {
    rmSync(own, { force: true });
  }
}

/** By descriptor: the directory is smolvm's user's, who could put a link in the file's place before root gives it away. */
function writeFor(access: Smolvm["access"], path: HostPath, text: string): void {
  const file = openSync(path, "wx", 0o600);
  try {
    writeFileSync(file, text);
    if (access.kind === "dropped") fchownSync(file, access.uid, access.gid);
  } finally {
    closeSync(file);
  }
}

/** A file of assignments as every POSIX shell reads it. Pure. */
export function renderEnv(env: Readonly<Record<string, string>>): string {
  return Object.entries(env)
    .map(([name, value]) => `${requireName(name)}=${quoteShell(value)}\n`)
    .join("");
}

function requireName(name: string): string {
  if (VARIABLE_NAME.test(name)) return name;
  throw new LaunchError("launch.agent", `"${name}" cannot be a variable of a program`);
}
