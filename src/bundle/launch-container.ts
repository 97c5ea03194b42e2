/**
 * The bundle host `container`: for guests that cannot reach the host's sockets. Invariant: everything it makes on the engine is
 * recorded by name before it is made, carries the bottle's label, and is gone after the bundle's end.
 */
import { closeSync, existsSync } from "node:fs";
import { join } from "node:path";
import type { AttachmentValues, NetworkPlan } from "../backends/contract.ts";
import { BugError } from "../base/errors.ts";
import { ignore } from "../base/log.ts";
import type { Engine, NetworkBody } from "../engine/contract.ts";
import { openEngine } from "../engine/engine.ts";
import { ensureBundleImage } from "../images/ensure-image.ts";
import { ownershipLabels } from "../process/ownership.ts";
import { formatDoor } from "../protocol/door.ts";
import { startBundleContainer } from "./bundle-container.ts";
import type { BundleCarrier } from "./bundle-link.ts";
import {
  type EnsuredNetwork,
  ensureNetwork,
  guardBridge,
  noteLeaving,
  removeNetwork,
} from "./container-network.ts";
import type {
  BundleContext,
  BundleHandle,
  BundleHost,
  BundlePlan,
  DaemonPlan,
} from "./contract.ts";
import { copyHostRoots } from "./host-roots.ts";
import { ensureAuditFile } from "./log-file.ts";
import { PublishedDoors } from "./published-doors.ts";
import {
  bundleNames,
  CONTAINER_PATHS,
  type ContainerFacts,
  portOf,
  renderBottleNetwork,
  renderContainer,
  renderEgressNetwork,
} from "./render-container.ts";
import { superviseBundle } from "./supervise.ts";

/** The host `container`: the bundle is a container on the operator's engine. */
export function createContainerBundleHost(): BundleHost {
  return {
    launch: async (plan, context) => {
      const engine = await openEngine(context.ports.env, { signal: context.signal });
      try {
        return await launchOn(engine, plan, context);
      } catch (error) {
        engine[Symbol.dispose]();
        throw error;
      }
    },
  };
}

async function launchOn(
  engine: Engine,
  plan: BundlePlan,
  context: BundleContext,
): Promise<BundleHandle> {
  const { network } = plan;
  if (network === undefined) throw new BugError("a bundle in a container needs a network");
  await context.onResources({ processes: [], objects: objectsOf(plan, network) });
  const networks = openNetworks(engine, plan, { network, context });
  try {
    const [facts] = await Promise.all([lookAround(engine, plan, context), networks.own]);
    const published =
      plan.publish === "none"
        ? undefined
        : new PublishedDoors({ engine, plan, network, facts, context });
    const { outside } = networks;
    const startJoined = (): Promise<BundleCarrier> =>
      startBundleContainer({
        engine,
        plan,
        name: bundleNames(plan.id).container,
        body: renderContainer(plan, network, facts),
        outside,
        context,
      });
    return await superviseBundle({
      plan,
      context,
      start: () => published?.start() ?? startJoined(),
      clear: () => networks.remove(),
      onClearingLate: (gone) => noteLeaving(engine, networks.names, gone),
      release: () => engine[Symbol.dispose](),
      places: {
        auditFile: CONTAINER_PATHS.audit,
        doorOf: (daemon) => doorOf(daemon, network),
      },
      // Where doors are published is known after the first start.
      get attachment() {
        return published?.attachment ?? attachmentOf(plan, network);
      },
    });
  } catch (error) {
    context.onFailing?.(error);
    await ignore(networks.removeNew(), "the launch's error counts", context.ports.log);
    throw error;
  }
}

async function lookAround(
  engine: Engine,
  plan: BundlePlan,
  context: BundleContext,
): Promise<ContainerFacts> {
  closeSync(ensureAuditFile(plan.auditFile));
  const { ports, signal, onProgress } = context;
  const { env } = ports;
  const [image, info] = await Promise.all([
    ensureBundleImage(plan.entryPath, { engine, env, signal, onProgress }),
    engine.info(),
  ]);
  // A rootless engine shows the operator's own files as root's.
  const isRootless = info.SecurityOptions.some((it) => it.includes("rootless"));
  const user = isRootless ? "0:0" : `${process.getuid?.() ?? 0}:${process.getgid?.() ?? 0}`;
  const hasDecisions = existsSync(join(plan.queueDir, "decisions"));
  const rootsFile = copyHostRoots(plan.cacheDir, ports.log);
  const ownership = ownershipLabels(plan.cacheDir);
  return { image: image.id, user, hasDecisions, rootsFile, ownership, publishOn: undefined };
}

function objectsOf(plan: BundlePlan, network: NetworkPlan): Record<string, readonly string[]> {
  const { container, egress } = bundleNames(plan.id);
  const isPublished = plan.publish !== "none";
  return {
    container: [container],
    network: isPublished ? [network.name] : [network.name, egress],
  };
}

interface OpenNetworks {
  /** The bottle's own. */
  readonly own: Promise<EnsuredNetwork>;
  /** Makes the one that leads outside, when the bundle wants to join it: guest and bundle start the sooner. */
  readonly outside: (() => Promise<EnsuredNetwork>) | undefined;
  readonly names: readonly string[];
  remove(): Promise<void>;
  /** Removes what this launch made and leaves what was there. */
  removeNew(): Promise<void>;
}

/** Begins to make the networks. */
function openNetworks(
  engine: Engine,
  plan: BundlePlan,
  { network, context }: { readonly network: NetworkPlan; readonly context: BundleContext },
): OpenNetworks {
  const { clock, log } = context.ports;
  const ownership = ownershipLabels(plan.cacheDir);
  const made = new Set<string>();
  const ensure = async (body: NetworkBody): Promise<EnsuredNetwork> => {
    const ensured = await ensureNetwork(engine, body, clock);
    if (ensured.isNew) made.add(body.Name);
    return ensured;
  };
  const body = renderBottleNetwork(plan, network, ownership);
  const own = ensure(body).then((ensured) => {
    if (body.Internal === true) guardBridge(ensured.id, log);
    context.onStage?.("network");
    return ensured;
  });
  const outer = plan.publish === "none" ? renderEgressNetwork(plan.id, ownership) : undefined;
  const making: Promise<EnsuredNetwork>[] = [own];
  const makeOuter = (name: NetworkBody): Promise<EnsuredNetwork> => {
    const work = ensure(name);
    making.push(work);
    return work;
  };
  const removeAll = async (names: () => Iterable<string>): Promise<void> => {
    await Promise.allSettled(making);
    await Promise.all([...names()].map((name) => removeNetwork(engine, name, context.ports)));
  };
  const all = [body, ...(outer === undefined ? [] : [outer])].map(({ Name }) => Name);
  return {
    own,
    outside: outer === undefined ? undefined : () => makeOuter(outer),
    names: all,
    remove: () => removeAll(() => all),
    removeNew: () => removeAll(() => made),
  };
}

/** The door is on the bottle's own network and nowhere else, for that network only. */
function doorOf(daemon: DaemonPlan, { bundleAddress, subnet }: NetworkPlan): string {
  return formatDoor({ kind: "tcp", address: bundleAddress, port: portOf(daemon), from: subnet });
}

const DOOR_OF_DAEMON = { egress: "proxy", "git-gate": "git", supervise: "supervise" } as const;

function attachmentOf(plan: BundlePlan, { bundleAddress: host }: NetworkPlan): AttachmentValues {
  const endpoints = plan.daemons.flatMap((daemon) =>
    daemon.name === "pipelock"
      ? []
      : [[DOOR_OF_DAEMON[daemon.name], { host, port: portOf(daemon) }] as const],
  );
  return { endpoints: Object.fromEntries(endpoints) };
}
