/**
 * What the bottles of one home have on the engine, found by labels alone. Invariant: what another home made, or nobody of ours, is
 * neither listed nor removed; of probes only the maker counts, because they belong to no bottle.
 */
import type { HostPath } from "../../base/ids.ts";
import type { Engine, Labels } from "../../engine/contract.ts";
import { openEngine } from "../../engine/engine.ts";
import { HOME_LABEL, readHomeId, readOwnerLabel } from "../../process/ownership.ts";
import type { BackendPorts, EngineObject } from "../contract.ts";
import { BOTTLE_LABEL, PROBE_ROLE, ROLE_LABEL } from "./names.ts";

type Kind = EngineObject["kind"];

interface Listed {
  readonly kind: Kind;
  readonly id: string;
  readonly name: string;
  readonly labels: Labels;
}

/** Everything of this home's on the engine; nothing is asked where the home never made anything. Throws HostError. */
export async function findObjects(
  cacheDir: HostPath,
  ports: BackendPorts,
): Promise<readonly EngineObject[]> {
  const home = readHomeId(cacheDir);
  if (home === undefined) return [];
  using engine = await openEngine(ports.env);
  const listed = await listLabelled(engine);
  return listed.flatMap(({ labels, ...object }) => {
    const isProbe = labels[ROLE_LABEL] === PROBE_ROLE;
    const bottle = isProbe ? "" : labels[BOTTLE_LABEL];
    if (bottle === undefined || (!isProbe && labels[HOME_LABEL] !== home)) return [];
    return [{ ...object, bottle, owner: readOwnerLabel(labels) }];
  });
}

/** Containers first: a network cannot go before them. */
async function listLabelled(engine: Engine): Promise<readonly Listed[]> {
  const ours = { [ROLE_LABEL]: undefined };
  const [containers, networks] = await Promise.all([
    engine.containers.list(ours),
    engine.networks.list(ours),
  ]);
  return [
    ...containers
      .filter(({ State }) => State !== "removing")
      .map(({ Id, Names, Labels }) => ({
        kind: "container" as const,
        ...{ id: Id, name: (Names[0] ?? Id).replace(/^\//, ""), labels: Labels },
      })),
    ...networks.map(({ Id, Name, Labels }) => ({
      kind: "network" as const,
      ...{ id: Id, name: Name, labels: Labels },
    })),
  ];
}

/** Removes one of them, by its id: a name may stand for something else by now. One that is gone is success. */
export async function removeObject(object: EngineObject, ports: BackendPorts): Promise<void> {
  using engine = await openEngine(ports.env);
  if (object.kind === "container") await engine.containers.remove(object.id);
  else await engine.networks.remove(object.id);
}
