/**
 * Clears what dead owners left. A process is killed only when pid, start time, boot and pid namespace are those of the
 * record; a record of another machine or boot is never reaped by killing. Work is never removed.
 */
import { lstatSync } from "node:fs";
import { readdir, rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import {
  BACKEND_NAMES,
  type Backend,
  type BackendName,
  type BackendPorts,
  type GuestResources,
} from "../backends/contract.ts";
import { openBackend } from "../backends/registry.ts";
import { systemCode } from "../base/errors.ts";
import { type HostPath, parseHostPath } from "../base/ids.ts";
import { bottlePaths, type HomePaths } from "../base/paths.ts";
import { isAlive, killIfSame, ownerState, readOwner } from "../process/identity.ts";
import { readHomeId } from "../process/ownership.ts";
import {
  type BottleRecord,
  type FoundRecord,
  listRecords,
  type OwnerRef,
  writeRecord,
} from "../protocol/record.ts";
import { CLAIM_PREFIX, hostWriteError } from "./claim.ts";
import { findWork, GONE_PREFIX, preserve, removeState } from "./settle.ts";

/** What one reaping would do or did. */
export interface ReapItem {
  readonly name: string;
  readonly backend: string;
  /** Why it is left over, for people. */
  readonly why: string;
  /** `remove`: nothing in it is work; `keep`: processes and run directory go, the work stays. */
  readonly outcome: "remove" | "keep";
  readonly found: FoundRecord;
}

/** Finds what dead owners left under home. Changes nothing. */
export async function findLeftovers(home: HomePaths): Promise<readonly ReapItem[]> {
  const self = readOwner();
  const items: ReapItem[] = [];
  for (const found of await listRecords(home.state)) {
    const item = await judge(found, home, self);
    if (item !== undefined) items.push(item);
  }
  return items;
}

async function judge(
  found: FoundRecord,
  home: HomePaths,
  self: OwnerRef,
): Promise<ReapItem | undefined> {
  const { name, record, id } = found;
  const remnant = remnantKind(found);
  if (remnant !== undefined)
    return { name, backend: record?.backend ?? "", why: remnant, outcome: "remove", found };
  if (record === undefined || ownerState(record.owner, self) !== "dead") return undefined;
  if (record.status === "ended" && record.kept !== "") return undefined;
  if (id === undefined)
    return { name, backend: record.backend, why: "an unfinished claim", outcome: "remove", found };
  const work = await findWork(bottlePaths(home, id, home.run));
  return {
    name,
    backend: record.backend,
    why: `its owner (pid ${record.owner?.pid ?? "unknown"}) is gone`,
    outcome: work === undefined ? "remove" : "keep",
    found,
  };
}

/** What a directory is whose name alone says that nothing in it is work. */
function remnantKind({ name, record }: FoundRecord): string | undefined {
  if (name.startsWith(GONE_PREFIX)) return "its removal was not finished";
  return record === undefined && isStaleClaim(name) ? "an unfinished claim" : undefined;
}

/** A claim directory without a record whose maker is dead. */
function isStaleClaim(name: string): boolean {
  return name.startsWith(CLAIM_PREFIX) && !isMakerAlive(name);
}

/** Whether a leftover of this name is just being removed by another process. */
export function isBeingRemoved(name: string): boolean {
  return name.startsWith(GONE_PREFIX) && isMakerAlive(name);
}

/** Names that are not a bottle's end with pid and start time of the process that made them. */
function isMakerAlive(name: string): boolean {
  const [startTime, pid] = name.split(".").reverse();
  return startTime !== undefined && isAlive({ pid: Number(pid), startTime });
}

/**
 * State directories without a record that can be read. Nothing says whose they are or whether work is in them, so that only
 * {@link removeBottle} with their name removes them.
 */
export async function findUnrecorded(home: HomePaths): Promise<readonly string[]> {
  const directories = new Set(await listDirectories(home.state));
  return (await listRecords(home.state))
    .filter(({ name, record }) => record === undefined && !name.startsWith("."))
    .filter(({ stateDir }) => directories.has(stateDir))
    .map(({ name }) => name);
}

/** Removes what a bottle that has ended left under a name, its work included. */
export async function removeBottle(home: HomePaths, name: string): Promise<void> {
  await rm(join(home.queue, name), { recursive: true, force: true });
  await removeState(join(home.state, name));
}

/**
 * Reaps one leftover with its own backend, or the one given. Tolerates that any part of it is gone already. What needs space
 * comes last; a leftover whose record cannot be written stays one. Throws HostError `host.disk-full` then.
 */
export async function reap(
  item: ReapItem,
  home: HomePaths,
  ports: BackendPorts,
  backend?: Backend,
): Promise<void> {
  const { record, id, stateDir } = item.found;
  if (record !== undefined)
    await endProcesses(record, { ...ports, homeId: readHomeId(home.cache) }, backend);
  if (record !== undefined && record.run_dir !== "") await removeRun(record.run_dir, home);
  if (id !== undefined) await rm(join(home.queue, id), { recursive: true, force: true });
  const work = id === undefined ? undefined : await findWork(bottlePaths(home, id, home.run));
  if (work === undefined || record === undefined || id === undefined) return removeState(stateDir);
  await preserve(bottlePaths(home, id, home.run).preserve, work);
  keepRecord(stateDir, {
    ...record,
    status: "ended",
    owner: null,
    run_dir: "",
    guest: { processes: [], cgroups: [], objects: {} },
    bundle: [],
    bundle_objects: {},
    kept: work,
  });
}

function keepRecord(stateDir: string, record: BottleRecord): void {
  try {
    writeRecord(stateDir, record);
  } catch (error) {
    throw hostWriteError(error, stateDir);
  }
}

async function endProcesses(
  record: BottleRecord,
  ports: BackendPorts,
  given: Backend | undefined,
): Promise<void> {
  // Numbers of processes mean something on their boot and in their namespace only; an engine's objects have labels.
  const isHere = isOfThisBoot(record.owner);
  for (const ref of isHere ? record.bundle : [])
    killIfSame({ pid: ref.pid, startTime: ref.start_time }, "SIGKILL");
  const { processes, cgroups, objects } = record.guest;
  const resources: GuestResources = {
    processes: isHere
      ? processes.map(({ pid, start_time: startTime }) => ({ pid, startTime }))
      : [],
    cgroups: isHere ? cgroups.map(parseHostPath) : [],
    objects,
  };
  const backend = given ?? (await openBackend(backendNamed(record.backend)));
  await backend.reap(resources, ports);
  if (Object.keys(record.bundle_objects).length > 0) {
    const { reapBundle } = await import("../bundle/reap-bundle.ts");
    await reapBundle(record.bundle_objects, ports);
  }
}

function isOfThisBoot(owner: OwnerRef | null): boolean {
  const self = readOwner();
  if (owner === null) return true;
  return owner.boot_id === self.boot_id && owner.pid_namespace === self.pid_namespace;
}

/** The backend of a record; an empty name is docker, as in the earlier system. */
function backendNamed(name: string): BackendName {
  return BACKEND_NAMES.find((known) => known === name) ?? "docker";
}

/** Removes a run directory that lies where ours lie: a record is only text, and must not name any directory for removal. */
async function removeRun(directory: string, home: HomePaths): Promise<void> {
  const isOurs =
    directory.startsWith(`${home.run}/`) ||
    (/^\/(?:tmp|run\/user\/\d+)\/bot-bottle-[0-9a-f]{8}$/.test(directory) && isOurUsers(directory));
  if (!isOurs || resolve(directory) !== directory) return;
  await rm(directory, { recursive: true, force: true, maxRetries: 3 });
}

/** Anybody may make a directory of such a name in a shared place. */
function isOurUsers(directory: string): boolean {
  const stats = lstatSync(directory, { throwIfNoEntry: false });
  return stats?.isDirectory() === true && stats.uid === process.getuid?.();
}

/**
 * Run directories that no record names. Their names are read before the records: a live launch has its record first, so
 * its directory is never taken for an orphan.
 */
export async function findOrphanRuns(home: HomePaths): Promise<readonly string[]> {
  const directories = await listDirectories(home.run);
  const named = new Set((await listRecords(home.state)).map((found) => found.record?.run_dir));
  return directories.filter((directory) => !named.has(directory));
}

async function listDirectories(root: HostPath): Promise<string[]> {
  try {
    const entries = await readdir(root, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map((entry) => join(root, entry.name));
  } catch (error) {
    if (systemCode(error) === "ENOENT") return [];
    throw error;
  }
}

/** Removes a run directory found by {@link findOrphanRuns}. */
export async function removeOrphanRun(directory: string): Promise<void> {
  await rm(directory, { recursive: true, force: true, maxRetries: 3 });
}
