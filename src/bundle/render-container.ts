/**
 * What a bundle's container and its two networks are made of. Pure. Invariant: no secret is in it (they come on the control
 * pipe), and of the host's files the container can write only its queue and its audit file.
 */
import type { NetworkPlan } from "../backends/contract.ts";
import type { BottleId } from "../base/ids.ts";
import { bottleLabels } from "../base/labels.ts";
import type {
  ContainerBody,
  Labels,
  MountBody,
  NetworkBody,
  PortBindingBody,
} from "../engine/contract.ts";
import { DOOR_PORTS } from "../protocol/door.ts";
import type { BundlePlan, DaemonPlan } from "./contract.ts";

/** Paths as the bundle in a container sees them. */
export const CONTAINER_PATHS = {
  queue: "/run/supervise/queue",
  audit: "/run/bundle/audit.jsonl",
  roots: "/etc/ssl/certs/ca-certificates.crt",
} as const;

/** The program of the image: a shell as PID 1 that reaps what is orphaned, and the bundle below it. */
export const CONTAINER_ENTRYPOINT = ["/bin/sh", "/app/init.sh"] as const;

const MEMORY_BYTES: number = 1024 ** 3;
const PIDS = 256;
const TMP_BYTES: number = 16 * 1024 * 1024;

/** What of the machine the container depends on. */
export interface ContainerFacts {
  readonly image: string;
  /** `uid:gid` that owns queue and audit file on the engine's side. */
  readonly user: string;
  /** The queue has a directory for decisions already. */
  readonly hasDecisions: boolean;
  /** Roots that upstreams are verified against; undefined: the image's. */
  readonly rootsFile: string | undefined;
  /** Labels that say whose the container is. */
  readonly ownership: Labels;
  /** Where on the host's loopback doors are published; undefined: they are not. */
  readonly publishOn: PublishedOn | undefined;
}

/** An address of the host's loopback that is this bottle's alone. */
export interface PublishedOn {
  readonly address: string;
  /** The host's port for each of the container's; where there is none the engine chooses. */
  readonly ports?: Readonly<Record<number, number>>;
}

/** Names of a bottle's bundle on its engine. */
export function bundleNames(id: BottleId): { readonly container: string; readonly egress: string } {
  return { container: `bot-bottle-sidecars-${id}`, egress: `bot-bottle-egress-${id}` };
}

/** The port of a daemon's door. */
export function portOf(daemon: DaemonPlan): number {
  switch (daemon.name) {
    case "egress":
      return DOOR_PORTS.proxy;
    case "git-gate":
      return DOOR_PORTS.git;
    case "supervise":
      return DOOR_PORTS.supervise;
    case "pipelock":
      return PIPELOCK_PORT;
  }
}

/** Between the bundle's own daemons only. */
const PIPELOCK_PORT = 8888;

/** The container, on the bottle's own network; it joins the one that leads outside once it has started. */
export function renderContainer(
  plan: BundlePlan,
  network: NetworkPlan,
  facts: ContainerFacts,
): ContainerBody {
  const isPublished = facts.publishOn !== undefined;
  const pinned = { IPAMConfig: { IPv4Address: network.bundleAddress } };
  return {
    Image: facts.image,
    Entrypoint: CONTAINER_ENTRYPOINT,
    Cmd: [],
    Env: ["LANG=C.UTF-8"],
    User: facts.user,
    WorkingDir: "/",
    Hostname: "bundle",
    Labels: bottleLabels(plan.id, "bundle", facts.ownership),
    ...{ AttachStdin: true, AttachStdout: true, AttachStderr: true },
    ...{ OpenStdin: true, StdinOnce: true, Tty: false },
    Healthcheck: { Test: ["NONE"] },
    ...(isPublished ? { ExposedPorts: exposed(plan) } : {}),
    HostConfig: {
      ...confinement,
      NetworkMode: network.name,
      Mounts: mountsOf(plan, facts),
      PortBindings: facts.publishOn === undefined ? {} : bindings(plan, facts.publishOn),
    },
    NetworkingConfig: { EndpointsConfig: { [network.name]: pinned } },
  };
}

const confinement = {
  AutoRemove: true,
  RestartPolicy: { Name: "no" },
  ReadonlyRootfs: true,
  CapDrop: ["ALL"],
  SecurityOpt: ["no-new-privileges"],
  IpcMode: "private",
  Tmpfs: { "/tmp": `rw,noexec,nosuid,nodev,size=${TMP_BYTES}` },
  Memory: MEMORY_BYTES,
  MemorySwap: MEMORY_BYTES,
  PidsLimit: PIDS,
  // It is on two networks, and a new namespace forwards where the host does: what passes, passes through a daemon.
  Sysctls: { "net.ipv4.ip_forward": "0", "net.ipv4.conf.all.accept_source_route": "0" },
  // What it writes is the owner's to keep: it reads it on the attached stream.
  LogConfig: { Type: "none" },
} as const;

function mountsOf(plan: BundlePlan, facts: ContainerFacts): readonly MountBody[] {
  const bind = (source: string, target: string, isReadOnly: boolean): MountBody => ({
    Type: "bind",
    Source: source,
    Target: target,
    ReadOnly: isReadOnly,
    BindOptions: { Propagation: "rprivate", NonRecursive: true },
  });
  const { queue, audit, roots } = CONTAINER_PATHS;
  const { hasDecisions, rootsFile } = facts;
  return [
    bind(plan.queueDir, queue, false),
    // The operator's answers are never the bundle's to write.
    ...(hasDecisions ? [bind(`${plan.queueDir}/decisions`, `${queue}/decisions`, true)] : []),
    bind(plan.auditFile, audit, false),
    ...(rootsFile === undefined ? [] : [bind(rootsFile, roots, true)]),
  ];
}

function exposed(plan: BundlePlan): NonNullable<ContainerBody["ExposedPorts"]> {
  return Object.fromEntries(doorPorts(plan).map((port) => [`${port}/tcp`, {}]));
}

function bindings(
  plan: BundlePlan,
  { address, ports }: PublishedOn,
): Readonly<Record<string, readonly PortBindingBody[]>> {
  return Object.fromEntries(
    doorPorts(plan).map((port) => [
      `${port}/tcp`,
      [{ HostIp: address, HostPort: String(ports?.[port] ?? "") }],
    ]),
  );
}

/** Ports that the guest speaks to; what daemons say to each other is nobody else's. */
export function doorPorts(plan: BundlePlan): readonly number[] {
  return plan.daemons.filter(({ name }) => name !== "pipelock").map(portOf);
}

/**
 * The network that bundle and guest share. With `internal` the engine gives it no way out, and the host no address on it:
 * without the second, everything that the host binds on 0.0.0.0 would be reachable at the gateway's address.
 */
export function renderBottleNetwork(
  plan: BundlePlan,
  network: NetworkPlan,
  ownership: Labels,
): NetworkBody {
  const isInternal = plan.publish === "none";
  return {
    Name: network.name,
    Driver: "bridge",
    CheckDuplicate: true,
    Internal: isInternal,
    EnableIPv6: false,
    Labels: bottleLabels(plan.id, "network", ownership),
    Options: isInternal ? { "com.docker.network.bridge.inhibit_ipv4": "true" } : {},
    IPAM: {
      Driver: "default",
      Config: [{ Subnet: network.subnet, IPRange: upperHalf(network), Gateway: network.gateway }],
    },
  };
}

/** Whoever comes without an address gets one from there: a guest that is quicker must not take the bundle's. */
function upperHalf({ subnet }: NetworkPlan): string {
  return subnet.replace(/0\/24$/, "128/25");
}

/** The network that leads the bundle outside; it is alone on it. */
export function renderEgressNetwork(id: BottleId, ownership: Labels): NetworkBody {
  return {
    Name: bundleNames(id).egress,
    Driver: "bridge",
    CheckDuplicate: true,
    Internal: false,
    EnableIPv6: false,
    Labels: bottleLabels(id, "egress", ownership),
    Options: { "com.docker.network.bridge.enable_icc": "false" },
  };
}
