/**
 * Finds and removes what bottles of this home left on an engine and no record names. Invariant: what a living process made stays,
 * and what a record names is left to the reaper of records.
 */
import {
  BACKEND_NAMES,
  type Backend,
  type BackendName,
  type BackendPorts,
  type EngineObject,
} from "../backends/contract.ts";
import { openBackend } from "../backends/registry.ts";
import type { HomePaths } from "../base/paths.ts";
import { ownerState, readOwner } from "../process/identity.ts";
import { readHomeId } from "../process/ownership.ts";
import { listRecords } from "../protocol/record.ts";

/** Something on an engine that nobody holds any more. */
export interface OrphanObject {
  readonly backend: BackendName;
  readonly object: EngineObject;
  /** Why it is left over, for people. */
  readonly why: string;
}

/** Finds them with every backend that has an engine. Throws HostError where the engine of this home cannot be asked. */
export async function findOrphanObjects(
  home: HomePaths,
  ports: BackendPorts,
): Promise<readonly OrphanObject[]> {
  // Without it nothing was ever made on an engine, and none needs to be there.
  if (readHomeId(home.cache) === undefined) return [];
  const found: OrphanObject[] = [];
  for (const name of BACKEND_NAMES.filter((it) => it !== "fake"))
    found.push(...(await findOrphansOf(await openBackend(name), home, ports)));
  return found;
}

/** Finds those of one backend. */
export async function findOrphansOf(
  backend: Backend,
  home: HomePaths,
  ports: BackendPorts,
): Promise<readonly OrphanObject[]> {
  // Before the records: a live launch has its record first, so that what it makes is never taken for an orphan.
  const objects = (await backend.findObjects?.(home.cache, ports)) ?? [];
  if (objects.length === 0) return [];
  const self = readOwner();
  const records = await listRecords(home.state);
  const held = new Set(
    records.flatMap(({ record }) =>
      record === undefined || record.status === "ended" ? [] : [record.identity],
    ),
  );
  return objects
    .filter(({ bottle, owner }) => {
      const isDead = owner !== undefined && ownerState(owner, self) === "dead";
      return isDead && !held.has(bottle);
    })
    .map((object) => ({ backend: backend.name, object, why: reasonFor(object) }));
}

function reasonFor({ kind, bottle, owner }: EngineObject): string {
  const whose = bottle === "" ? "a probe" : `bottle ${bottle}, which has no record`;
  return `${kind} of ${whose}; its owner (pid ${owner?.pid ?? "unknown"}) is gone`;
}

/** Removes one. Tolerates that it is gone. */
export async function removeOrphanObject(
  { backend, object }: OrphanObject,
  ports: BackendPorts,
): Promise<void> {
  await (await openBackend(backend)).removeObject?.(object, ports);
}
