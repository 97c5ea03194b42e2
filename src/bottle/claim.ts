/**
 * Claims a bottle's name and keeps its record. The record exists from the first moment the name does: it is written into a
 * temporary directory that is then renamed, so that a kill leaves either nothing or something a reaper understands.
 */
import { chmodSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type Clock, isoTime } from "../base/clock.ts";
import { HostError, LaunchError, systemCode } from "../base/errors.ts";
import { ignore } from "../base/log.ts";
import { makeDirectory } from "../base/make-directory.ts";
import { type BottleRecord, type OwnerRef, writeRecord } from "../protocol/record.ts";
import type { BottlePlan } from "./plan.ts";

/** Prefix of a claim that is not finished; the reaper removes those of dead owners. */
export const CLAIM_PREFIX = ".new-";
/** Longest time that the end of a bottle waits for the exit of its agent, in milliseconds: its guest is gone by then. */
const EXIT_WAIT_MS = 2_000;

/** The live record of one bottle; updates are serialised and written whole. */
export class RecordKeeper {
  readonly #stateDir: string;
  #record: BottleRecord;
  #pending: Promise<void> = Promise.resolve();
  #exit: Promise<void> = Promise.resolve();
  /** `seq:hash` of the audit log's last line, once the log is closed. */
  auditHead: string | undefined;

  constructor(stateDir: string, record: BottleRecord) {
    this.#stateDir = stateDir;
    this.#record = record;
  }

  get record(): BottleRecord {
    return this.#record;
  }

  /** Changes the record and writes it. Resolves when it is on disk; a write that failed is made up for by the next one. */
  update(patch: Partial<BottleRecord>): Promise<void> {
    this.#record = { ...this.#record, ...patch };
    const write = (): void => writeRecord(this.#stateDir, this.#record);
    this.#pending = this.#pending.then(write, write);
    return this.#pending;
  }

  /** Notes who is about to record the agent's exit. It never rejects. */
  expectExit(recorded: Promise<void>): void {
    this.#exit = recorded;
  }

  /** Resolves when the agent's exit is in the record: what becomes of its work depends on it. */
  async exitRecorded(clock: Clock): Promise<void> {
    const stop = new AbortController();
    const expired = ignore(clock.sleep(EXIT_WAIT_MS, stop.signal), "the exit came in time");
    await Promise.race([this.#exit, expired]);
    stop.abort();
  }
}

function firstRecord(plan: BottlePlan, owner: OwnerRef, clock: Clock): BottleRecord {
  const none = { processes: [], cgroups: [], objects: {} };
  return {
    identity: plan.id,
    agent_name: plan.agentName,
    cwd: plan.workspace?.hostSource ?? "",
    copy_cwd: plan.workspace !== undefined,
    started_at: isoTime(clock.now()),
    compose_project: "",
    backend: plan.backend,
    label: plan.label ?? "",
    color: plan.color ?? "",
    bottle_names: [...plan.bottleNames],
    status: "launching",
    owner,
    run_dir: plan.paths.run,
    provider: plan.provider,
    guest: none,
    bundle: [],
    bundle_objects: {},
    exit_code: null,
    exit_signal: null,
    ended_at: "",
    kept: "",
  };
}

/** Claims the plan's name. Throws LaunchError `launch.name-taken`, HostError `host.unwritable` or `host.disk-full`. */
export function claimName(plan: BottlePlan, owner: OwnerRef, clock: Clock): RecordKeeper {
  const record = firstRecord(plan, owner, clock);
  const claim = join(plan.home.state, `${CLAIM_PREFIX}${plan.id}.${owner.pid}.${owner.start_time}`);
  try {
    makeDirectory(plan.home.state);
    writeRecord(claim, record);
    renameSync(claim, plan.paths.state);
  } catch (error) {
    rmSync(claim, { recursive: true, force: true });
    throw claimError(error, plan);
  }
  return new RecordKeeper(plan.paths.state, record);
}

function claimError(error: unknown, plan: BottlePlan): unknown {
  const code = systemCode(error);
  if (code === "ENOTEMPTY" || code === "EEXIST" || code === "ENOTDIR") {
    return new LaunchError(
      "launch.name-taken",
      `name taken: a bottle called "${plan.id}" exists already`,
      {
        hint: "choose another --label, or remove it with bot-bottle cleanup",
        cause: error,
      },
    );
  }
  return hostWriteError(error, plan.home.state);
}

/** Turns a failed write of ours into the error that names the remedy; other errors pass unchanged. */
export function hostWriteError(error: unknown, path: string): unknown {
  const code = systemCode(error);
  if (code === "ENOSPC" || code === "EDQUOT") {
    return new HostError("host.disk-full", `cannot write ${path}: the disk is full`, {
      hint: "free some space, then run bot-bottle cleanup",
      cause: error,
    });
  }
  if (code === "EACCES" || code === "EPERM" || code === "EROFS") {
    return new HostError("host.unwritable", `cannot write ${path}: ${code}`, {
      hint: `check its owner and mode, or set BOT_BOTTLE_HOME to a directory of yours`,
      cause: error,
    });
  }
  return error;
}

/** Makes the run directory: 0700, with `doors` 0755 below it. */
export function openRunDirectory(plan: BottlePlan): void {
  const { run, doors, logs, guestHome, guestEtc, agent } = plan.paths;
  try {
    makeDirectory(join(run, ".."));
    mkdirSync(run, { mode: 0o700 });
    mkdirSync(doors);
    chmodSync(doors, 0o755);
    for (const directory of [logs, guestHome, guestEtc, agent, plan.paths.queue, plan.home.audit]) {
      makeDirectory(directory);
    }
  } catch (error) {
    throw hostWriteError(error, run);
  }
}
