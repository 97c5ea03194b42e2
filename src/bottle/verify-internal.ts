/**
 * Proves a guest that shares a network with its bundle: beside its loopback it has that one interface, and on it nothing but
 * the bundle's doors answers. Silence counts only on a link that works, and where we listen ourselves our listener is asked.
 */
import { networkInterfaces } from "node:os";
import type { Guest, NetworkPlan } from "../backends/contract.ts";
import { Scope } from "../base/scope.ts";
import { notIsolated } from "./not-isolated.ts";
import { listenForConnections, listenForDatagrams, type OwnListener } from "./own-listeners.ts";

/**
 * Time for an answer that must not come. Whoever could give it is this machine or on its link: that takes less than one. A name
 * that ends in `.invalid` is answered by the nearest resolver of all, and which ones are asked the engine's record says besides.
 */
const SILENCE_MS = 250;
/** Refusals come at once, however busy the machine is. */
const REFUSAL_MS = 5_000;
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
  "once as root on the engine's machine: sysctl -w net.ipv4.conf.default.rp_filter=1, or write attachment: sockets";

/**
 * Throws LaunchError `launch.not-isolated` when anything but the doors can be reached. `whenJoined` settles when the bundle is on
 * the network: its doors may still be closed, its other ports refuse already.
 */
export async function verifyInternal(
  network: NetworkPlan,
  guest: Pick<Guest, "probe">,
  whenJoined: Promise<void>,
): Promise<void> {
  await Promise.all([
    expectInterfaces(guest),
    ...IPV6.map((target) => expectNoIpv6(guest, target)),
    // Nothing is asked before that leads to the bundle's address, as the resolver does: a system that once found nobody there
    // believes it for a second.
    whenJoined.then(() => expectAlone(network, guest)),
  ]);
}

/** First the bundle's refusals, which show that the link works; then nothing else may answer. */
async function expectAlone(network: NetworkPlan, guest: Pick<Guest, "probe">): Promise<void> {
  const host = network.bundleAddress;
  await Promise.all(OTHER_PORTS.map((port) => expectRefused(guest, { host, port })));
  await using scope = new Scope();
  const [connections, datagrams] = await Promise.all([
    listenForConnections(scope),
    listenForDatagrams(scope),
  ]);
  const { port } = connections;
  const silent = [
    ...OUTSIDE,
    ...hostAddresses(network).map((address) => ({ host: address, port })),
  ];
  await Promise.all([
    ...silent.map((target) => expectSilent(guest, target)),
    expectNoResolver(guest),
    guest.probe({ type: "broadcast", port: datagrams.port }),
  ]);
  await Promise.all([expectNobody(connections, network), expectUnheard(datagrams)]);
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

async function expectRefused(guest: Pick<Guest, "probe">, target: Target): Promise<void> {
  const answer = await guest.probe({ type: "tcp", ...target, timeoutMs: REFUSAL_MS });
  if (answer !== "refused") throw reached(target, answer);
}

async function expectSilent(guest: Pick<Guest, "probe">, target: Target): Promise<void> {
  const answer = await guest.probe({ type: "tcp", ...target, timeoutMs: SILENCE_MS });
  if (!SILENT.has(answer)) throw reached(target, answer);
}

async function expectNoIpv6(guest: Pick<Guest, "probe">, target: Target): Promise<void> {
  const answer = await guest.probe({ type: "tcp", ...target, timeoutMs: REFUSAL_MS });
  if (answer !== "unreachable" && answer !== "refused") throw reached(target, answer);
}

function reached({ host, port }: Target, answer: string): Error {
  return notIsolated(`a connection to ${host}:${port} ended with "${answer}"`, LAUNCH_AGAIN);
}

/** The engine's own resolver is in every container of such a network; it must not ask anybody for the guest. */
async function expectNoResolver(guest: Pick<Guest, "probe">): Promise<void> {
  const answer = await guest.probe({ type: "dns", host: RESOLVER, timeoutMs: SILENCE_MS });
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

/** The guest's own word is not all: it may have been given no processor while a connection of its own came to be. */
async function expectNobody(listener: OwnListener, { subnet }: NetworkPlan): Promise<void> {
  const prefix = subnet.replace(/0\/24$/, "");
  const came = (await listener.strangers()).filter((who) => who.startsWith(prefix));
  if (came.length > 0) throw notIsolated(`the host was reached from ${came[0]}`, LAUNCH_AGAIN);
}

/** A datagram to everyone is not routed, so only the machine's own filter keeps the host from hearing it. */
async function expectUnheard(listener: OwnListener): Promise<void> {
  if ((await listener.strangers()).length > 0)
    throw notIsolated("a broadcast of the guest is heard by the host", FILTER_HINT);
}
