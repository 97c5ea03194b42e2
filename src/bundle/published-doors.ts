/**
 * The doors of a bundle on an alias of the host's loopback. The engine chooses the ports when the bundle first starts; a bundle
 * that is started again gets the same ones, because the guest has been told. Invariant: the alias is this bundle's alone.
 */
import type { AttachmentValues, NetworkPlan } from "../backends/contract.ts";
import { LaunchError } from "../base/errors.ts";
import { ignore } from "../base/log.ts";
import type { Engine } from "../engine/contract.ts";
import type { ContainerInspect } from "../engine/schemas.ts";
import { lockAliases } from "./alias-lock.ts";
import { startBundleContainer } from "./bundle-container.ts";
import type { BundleCarrier } from "./bundle-link.ts";
import type { BundleContext, BundlePlan } from "./contract.ts";
import {
  chooseAlias,
  ensureAliases,
  listeningAddresses,
  publishedAddresses,
} from "./loopback-alias.ts";
import {
  bundleNames,
  type ContainerFacts,
  doorPorts,
  type PublishedOn,
  portOf,
  renderContainer,
} from "./render-container.ts";

const DOOR_OF_DAEMON = { egress: "proxy", "git-gate": "git", supervise: "supervise" } as const;

/** What publishing needs. */
export interface Publishing {
  readonly engine: Engine;
  readonly plan: BundlePlan;
  readonly network: NetworkPlan;
  readonly facts: ContainerFacts;
  readonly context: BundleContext;
}

/** The doors of one bundle, whose places are known once it has started. */
export class PublishedDoors {
  readonly #publishing: Publishing;
  #place: PublishedOn | undefined;

  constructor(publishing: Publishing) {
    this.#publishing = publishing;
  }

  /** Undefined before the first start. */
  get attachment(): AttachmentValues | undefined {
    return this.#place === undefined ? undefined : attachmentOf(this.#publishing.plan, this.#place);
  }

  /** Starts one life of the bundle. Throws LaunchError or HostError; no container is left then. */
  async start(): Promise<BundleCarrier> {
    const { engine, plan, context } = this.#publishing;
    const { clock, exec, searchPath } = context.ports;
    await ensureAliases({ exec, searchPath });
    using _lock = await lockAliases(plan.cacheDir, clock, context.signal);
    const name = bundleNames(plan.id).container;
    const used = await publishedAddresses(engine, name);
    const place = this.#place ?? { address: chooseAlias([...used, ...listeningAddresses()]) };
    refuseShared(place.address, used);
    const carrier = await this.#startOn(name, place);
    try {
      this.#place = await discover(this.#publishing, name, place.address);
      return carrier;
    } catch (error) {
      await ignore(Promise.resolve(carrier.kill()), "the start's error counts", context.ports.log);
      throw error;
    }
  }

  #startOn(name: string, publishOn: PublishedOn): Promise<BundleCarrier> {
    const { engine, plan, network, facts, context } = this.#publishing;
    const body = renderContainer(plan, network, { ...facts, publishOn });
    return startBundleContainer({ engine, plan, name, body, outside: undefined, context });
  }
}

/** Bottles of another home have another lock, so that the bindings are looked at again. */
function refuseShared(address: string, used: readonly string[]): void {
  if (!used.includes(address)) return;
  throw new LaunchError(
    "launch.backend",
    `the loopback's alias ${address} was taken by another bottle`,
    { hint: "start the bottle again" },
  );
}

async function discover(
  { engine, plan }: Publishing,
  name: string,
  address: string,
): Promise<PublishedOn> {
  const found = await engine.containers.inspect(name);
  refuseShared(address, await publishedAddresses(engine, name));
  const ports = Object.fromEntries(
    doorPorts(plan).map((port) => [port, findHostPort(found, port, address)]),
  );
  return { address, ports };
}

/** The host's port for a container's port on one address. Throws LaunchError `launch.backend`. Pure. */
export function findHostPort(
  container: Pick<ContainerInspect, "NetworkSettings"> | undefined,
  port: number,
  address: string,
): number {
  const bindings = container?.NetworkSettings.Ports[`${port}/tcp`] ?? [];
  const lines = bindings.filter(({ HostIp }) => HostIp === address);
  const [line] = lines;
  const hostPort = Number(line?.HostPort);
  if (lines.length === 1 && Number.isInteger(hostPort) && hostPort > 0) return hostPort;
  const seen = bindings.map(({ HostIp, HostPort }) => `${HostIp}:${HostPort}`).join(", ");
  throw new LaunchError(
    "launch.backend",
    `the engine did not publish port ${port} on ${address}: ${seen === "" ? "nothing" : seen} was seen`,
    { hint: "use another attachment: this engine does not publish on an alias of the loopback" },
  );
}

function attachmentOf(plan: BundlePlan, { address, ports = {} }: PublishedOn): AttachmentValues {
  const endpoints = plan.daemons.flatMap((daemon) => {
    const port = ports[portOf(daemon)];
    if (daemon.name === "pipelock" || port === undefined) return [];
    return [[DOOR_OF_DAEMON[daemon.name], { host: address, port }] as const];
  });
  return { endpoints: Object.fromEntries(endpoints) };
}
