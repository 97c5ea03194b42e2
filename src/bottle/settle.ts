/**
 * What is left when a bottle ends, and what becomes of the agent's work. The state directory is removed only when nothing in
 * it could be work: workspace and home equal what was given, and the agent ended with status 0 or because it was told to.
 * Otherwise it stays, marked.
 */
import { rmSync } from "node:fs";
import { rename, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { type Clock, isoTime } from "../base/clock.ts";
import { messageOf, systemCode } from "../base/errors.ts";
import type { HostPath } from "../base/ids.ts";
import { readOwner } from "../process/identity.ts";
import { openAuditLog } from "../protocol/audit-log.ts";
import { removeTree } from "../provision/remove-tree.ts";
import {
  compareTree,
  readSnapshot,
  type TreeSnapshot,
  writeSnapshot,
} from "../provision/work-kept.ts";
import { hostWriteError, type RecordKeeper } from "./claim.ts";
import type { BottlePlan } from "./plan.ts";

/** Files in the state directory that hold what was given to the agent. */
const GIVEN_HOME = "given-home.json";
const GIVEN_WORKSPACE = "given-workspace.json";
/** Prefix of a state directory that is being removed; what a removal left of it is nobody's work. */
export const GONE_PREFIX = ".gone-";
/** Longest reason for keeping work that is noted, in characters. */
const MAX_REASON = 400;

/** Statuses of programs that end themselves when a signal tells them to. */
const ORDERED_ENDS: Readonly<Record<number, string>> = {
  129: "SIGHUP",
  130: "SIGINT",
  143: "SIGTERM",
};

/** What the agent was given: compared at the end. */
export interface Given {
  readonly workspace: TreeSnapshot | undefined;
  readonly home: TreeSnapshot;
}

/** Directories in which work can be. */
export interface WorkPaths {
  readonly state: HostPath;
  readonly workspace: HostPath;
  readonly guestHome: HostPath;
}

export function writeGiven(paths: WorkPaths, given: Given): void {
  if (given.workspace !== undefined)
    writeSnapshot(join(paths.state, GIVEN_WORKSPACE), given.workspace);
  writeSnapshot(join(paths.state, GIVEN_HOME), given.home);
}

/**
 * Says why the work must be kept, or undefined when it equals what was given. Where what was given was never noted, no
 * agent has run, because the launch notes it first; where the note cannot be read, everything found is work.
 */
export async function findWork(paths: WorkPaths): Promise<string | undefined> {
  try {
    const home = await readSnapshot(join(paths.state, GIVEN_HOME));
    if (home === undefined) return undefined;
    const workspace = await readSnapshot(join(paths.state, GIVEN_WORKSPACE));
    const inWorkspace =
      workspace === undefined ? undefined : await compareTree(paths.workspace, workspace);
    if (inWorkspace !== undefined) return clip(`the workspace changed: ${inWorkspace}`);
    const inHome = await compareTree(paths.guestHome, home);
    return inHome === undefined ? undefined : clip(`the home changed: ${inHome}`);
  } catch (error) {
    return clip(`what was given cannot be compared: ${messageOf(error)}`);
  }
}

/** Names are the guest's, and a path of its making has no end. */
function clip(why: string): string {
  return why.length <= MAX_REASON ? why : `${why.slice(0, MAX_REASON).toWellFormed()}…`;
}

/** Marks the state so that no reaper ever removes it. Throws HostError where the disk is full. */
export async function preserve(file: HostPath, why: string): Promise<void> {
  try {
    await writeFile(file, `${why}\n`, { mode: 0o600 });
  } catch (error) {
    throw hostWriteError(error, file);
  }
}

let removals = 0;

/**
 * Removes a state directory. Its name is given up first and its record stays in it: whatever cannot be removed is still
 * found, and known for something that was to go.
 */
export async function removeState(state: string): Promise<void> {
  const name = basename(state);
  if (name.startsWith(GONE_PREFIX)) return removeTree(state);
  const { pid, start_time } = readOwner();
  removals += 1;
  const gone = join(dirname(state), `${GONE_PREFIX}${name}.${removals}.${pid}.${start_time}`);
  try {
    await rename(state, gone);
  } catch (error) {
    const code = systemCode(error);
    if (code === "ENOENT") return;
    if (code === "ENOSPC" || code === "EDQUOT") return removeInPlace(state);
    throw hostWriteError(error, state);
  }
  removeOwn(join(gone, "etc"));
  await removeTree(gone);
}

/** The quick way, for what no guest could write. */
function removeOwn(directory: string): void {
  try {
    rmSync(directory, { recursive: true, force: true });
  } catch (error) {
    // What is left is removed, or reported, with the rest.
    void error;
  }
}

/** Not even a name can be written: the guest's trees go first, and the record last. */
async function removeInPlace(state: string): Promise<void> {
  for (const tree of ["workspace", "home"]) await removeTree(join(state, tree));
  await removeTree(state);
}

/** Without promises: a handful of names that no guest could write, and each turn of the event loop takes longer than all of them. */
export function removeRunDirectory(plan: BottlePlan): void {
  rmSync(plan.paths.run, { recursive: true, force: true, maxRetries: 3 });
  rmSync(plan.paths.queue, { recursive: true, force: true });
}

/** Appends the end of the bottle to the audit log and notes its head. */
export function closeAudit(plan: BottlePlan, keeper: RecordKeeper, clock: Clock): void {
  const audit = openAuditLog(plan.paths.audit, { bottle: plan.id, clock });
  using _open = { [Symbol.dispose]: () => audit.close() };
  const { exit_code, exit_signal } = keeper.record;
  const how =
    exit_code === null && exit_signal === null
      ? "no agent ended"
      : `agent ended with ${exit_code ?? exit_signal}`;
  audit.append({ kind: "close", detail: how });
  const head = audit.head();
  keeper.auditHead = `${head.seq}:${head.hash}`;
}

export interface CloseRecordOptions {
  readonly clock: Clock;
  /** The launch failed before any agent could run. */
  readonly isAbandoned: boolean;
}

/** Ends the record: removes the state, or keeps it with the reason. */
export async function closeRecord(
  plan: BottlePlan,
  keeper: RecordKeeper,
  options: CloseRecordOptions,
): Promise<void> {
  if (!options.isAbandoned) await keeper.exitRecorded(options.clock);
  const why = options.isAbandoned ? undefined : await reasonToKeep(plan, keeper);
  if (why === undefined) return removeState(plan.paths.state);
  // The record is tried even where the mark failed: the reason is reported in either case.
  const marked = preserve(plan.paths.preserve, why);
  const recorded = keeper.update({
    status: "ended",
    owner: null,
    run_dir: "",
    guest: { processes: [], cgroups: [], objects: {} },
    bundle: [],
    bundle_objects: {},
    ended_at: isoTime(options.clock.now()),
    kept: why,
  });
  await Promise.allSettled([marked, recorded]);
  try {
    await Promise.all([marked, recorded]);
  } catch (error) {
    throw hostWriteError(error, plan.paths.state);
  }
}

async function reasonToKeep(plan: BottlePlan, keeper: RecordKeeper): Promise<string | undefined> {
  const { exit_code, exit_signal } = keeper.record;
  if (plan.keep) return "asked for with --keep";
  const signal = exit_signal ?? ORDERED_ENDS[exit_code ?? 0];
  if (signal === undefined && exit_code !== null && exit_code !== 0)
    return `the agent ended with status ${exit_code}`;
  const work = await findWork(plan.paths);
  return work === undefined || signal === undefined
    ? work
    : `the agent was ended by ${signal}, and ${work}`;
}
