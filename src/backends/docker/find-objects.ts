/**
 * What the bottles of one home have on the engine, found by labels alone. Invariant: what another home made, or nobody of ours, is
 * neither listed nor removed; of what belongs to no bottle (probes, exports) only the maker counts.
 */
import type { HostPath } from "../../base/ids.ts";
import { BOTTLE_LABEL, isOfHomesBottle, isPassing, ROLE_LABEL } from "../../base/labels.ts";
import type { Engine, Labels } from "../../engine/contract.ts";
import { openEngine } from "../../engine/engine.ts";
import { readHomeId, readOwnerLabel } from "../../process/ownership.ts";
import type { BackendPorts, EngineObject } from "../contract.ts";

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
    const owner = readOwnerLabel(labels);
    if (isPassing(labels)) return [{ ...object, bottle: "", owner }];
    if (!isOfHomesBottle(labels, home)) return [];
    return [{ ...object, bottle: labels[BOTTLE_LABEL] ?? "", owner }];
  });
}

/** Containers first: neither a network nor an image can go before them. */
async function listLabelled(engine: Engine): Promise<readonly Listed[]> {
  const ours = { [ROLE_LABEL]: undefined };
  const [containers, networks, images] = await Promise.all([
    engine.containers.list(ours),
    engine.networks.list(ours),
    engine.images.list(ours),
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
    ...images.map(({ Id, RepoTags, Labels }) => ({
      kind: "image" as const,
      ...{ id: Id, name: RepoTags[0] ?? Id, labels: Labels },
    })),
  ];
}

/** Removes one of them, by its id: a name may stand for something else by now. One that is gone is success. */
export async function removeObject(object: EngineObject, ports: BackendPorts): Promise<void> {
  using engine = await openEngine(ports.env);
  switch (object.kind) {
    case "container":
      return await engine.containers.remove(object.id);
    case "network":
      return await engine.networks.remove(object.id);
    case "image":
      return await engine.images.remove(object.id);
  }
}
