/**
 * Proves a guest that shares a network with its bundle: beside its loopback it has that one interface, and on it nothing but
 * the bundle's doors answers. An answer that does not come counts as none, so all probes run at once and are bounded.
 */
import { createSocket } from "node:dgram";
import { createServer } from "node:net";
import { networkInterfaces } from "node:os";
import type { Guest, NetworkPlan } from "../backends/contract.ts";
import { Scope } from "../base/scope.ts";
import { notIsolated } from "./not-isolated.ts";

/** Far longer than anything on the same machine takes to answer. */
const PROBE_MS = 1_000;
const RESOLVER = "127.0.0.11";
const SILENT = new Set(["refused", "unreachable", "timeout"]);
/** Documentation ranges, so that nobody is bothered where isolation fails, and the metadata service. */
const OUTSIDE = [
  { host: "192.0.2.1", port: 443 },
  { host: "169.254.169.254", port: 80 },
] as const;
/** Without IPv6 these fail at once: a link-local neighbour, everyone's documentation range. */
const IPV6 = [
  { host: "fe80::1%eth0", port: 443 },
  { host: "2001:db8::1", port: 443 },
] as const;
/** Ports of the bundle that are no doors: a resolver, ssh, pipelock. */
const OTHER_PORTS = [53, 22, 8888] as const;
const LAUNCH_AGAIN = "run bot-bottle doctor; the bottle was closed";
const FILTER_HINT =
  "set net.ipv4.conf.default.rp_filter=1 on the engine's machine, or start with attachment: sockets";

/** Throws LaunchError `launch.not-isolated` when anything but the doors can be reached. */
export async function verifyInternal(
  network: NetworkPlan,
  guest: Pick<Guest, "probe">,
): Promise<void> {
  await using scope = new Scope();
  const port = await listenEverywhere(scope);
  const host = network.bundleAddress;
  const silent = [
    ...OUTSIDE,
    ...hostAddresses(network).map((address) => ({ host: address, port })),
    ...OTHER_PORTS.map((other) => ({ host, port: other })),
  ];
  await Promise.all([
    expectInterfaces(guest),
    ...silent.map((target) => expectSilent(guest, target)),
    ...IPV6.map((target) => expectNoIpv6(guest, target)),
    expectNoResolver(guest),
    expectUnheard(guest, scope),
  ]);
}

async function expectInterfaces(guest: Pick<Guest, "probe">): Promise<void> {
  const answer = await guest.probe({ type: "interfaces" });
  const others = answer.split(",").filter((name) => name !== "lo");
  if (others.length !== 1) throw notIsolated(`it has the network interfaces ${answer}`);
}

interface Target {
  readonly host: string;
  readonly port: number;
}

async function expectSilent(guest: Pick<Guest, "probe">, target: Target): Promise<void> {
  const answer = await guest.probe({ type: "tcp", ...target, timeoutMs: PROBE_MS });
  if (!SILENT.has(answer)) throw reached(target, answer);
}

async function expectNoIpv6(guest: Pick<Guest, "probe">, target: Target): Promise<void> {
  const answer = await guest.probe({ type: "tcp", ...target, timeoutMs: PROBE_MS });
  if (answer !== "unreachable" && answer !== "refused") throw reached(target, answer);
}

function reached({ host, port }: Target, answer: string): Error {
  return notIsolated(`a connection to ${host}:${port} ended with "${answer}"`, LAUNCH_AGAIN);
}

/** The engine's own resolver is in every container of such a network; it must not ask anybody for the guest. */
async function expectNoResolver(guest: Pick<Guest, "probe">): Promise<void> {
  const answer = await guest.probe({ type: "dns", host: RESOLVER, timeoutMs: PROBE_MS });
  if (!SILENT.has(answer))
    throw notIsolated(`the engine's resolver at ${RESOLVER} answers for names of the world`);
}

/** The address that the engine would have on the network, and those that the host has elsewhere. */
function hostAddresses({ gateway }: NetworkPlan): readonly string[] {
  const others = Object.values(networkInterfaces()).flatMap((list) =>
    (list ?? []).filter((it) => it.family === "IPv4" && !it.internal).map((it) => it.address),
  );
  return [...new Set([gateway, ...others])].slice(0, MAX_HOST_ADDRESSES);
}

/** A machine with hundreds of networks shows with some of them what holds for all. */
const MAX_HOST_ADDRESSES = 8;

/** A listener on all addresses of the host that the guest must not find. */
async function listenEverywhere(scope: Scope): Promise<number> {
  const server = createServer((socket) => socket.destroy());
  scope.defer("host probe listener", () => new Promise((resolve) => server.close(resolve)));
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "0.0.0.0", resolve);
  });
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : 0;
}

/** A datagram to everyone is not routed, so only the machine's own filter keeps the host from hearing it. */
async function expectUnheard(guest: Pick<Guest, "probe">, scope: Scope): Promise<void> {
  const socket = createSocket("udp4");
  scope.defer("host datagram listener", () => void socket.close());
  const heard = new Promise<"heard">((resolve) => socket.once("message", () => resolve("heard")));
  await new Promise<void>((resolve, reject) => {
    socket.once("error", reject);
    socket.bind(0, "0.0.0.0", resolve);
  });
  await guest.probe({ type: "broadcast", port: socket.address().port });
  // A question with an answer that takes its time bounds the wait: nothing is slower on the same machine.
  const quiet = guest.probe({ type: "tcp", host: "192.0.2.1", port: 9, timeoutMs: QUIET_MS });
  if ((await Promise.race([heard, quiet])) === "heard")
    throw notIsolated("a broadcast of the guest is heard by the host", FILTER_HINT);
}

const QUIET_MS = 300;
