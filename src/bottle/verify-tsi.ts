/**
 * Proves a guest that is filtered by address: of the host's loopback it reaches its own alias and nothing beside it. Sentinels
 * listen where it must not get; on the alias no port answers but the doors and what the host itself offers on every address.
 */
import { createServer } from "node:net";
import { networkInterfaces } from "node:os";
import type { AttachmentValues, Guest } from "../backends/contract.ts";
import { systemCode } from "../base/errors.ts";
import { Scope } from "../base/scope.ts";
import { readListeners } from "../process/listeners.ts";
import { notIsolated } from "./not-isolated.ts";

/** Refusals come at once, but a machine that has just started may be slow to ask. */
const PROBE_MS = 5_000;
const BLOCKED = new Set(["refused", "unreachable"]);
/** Documentation ranges, so that nobody is bothered where isolation fails, the metadata service, name servers. */
const OUTSIDE = [
  { host: "192.0.2.1", port: 443 },
  { host: "2001:db8::1", port: 443 },
  { host: "169.254.169.254", port: 80 },
] as const;
const NAME_SERVER = "192.0.2.53";
/** Ports that a bundle or a careless host might have: ssh, names, web, engines, pipelock, and doors on their usual ports. */
const OTHER_PORTS = [22, 53, 80, 443, 2375, 2376, 5000, 8080, 8888, 9099, 9100, 9420] as const;
/** Listeners of the host that are tried; a machine with hundreds shows with some of them what holds for all. */
const MAX_PORTS = 64;
const MAX_ADDRESSES = 8;
const LOOPBACK = /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/;
const USUAL = "127.0.0.1";

/** What is proven. */
export interface TsiProof {
  readonly attachment: AttachmentValues | undefined;
  readonly guest: Pick<Guest, "probe">;
  /** Told of services of the host that this guest reaches because they listen on every address. */
  readonly onWarning: (text: string) => void;
}

/** Throws LaunchError `launch.not-isolated` when more than the doors can be reached on any address but the alias's own. */
export async function verifyTsi({ attachment, guest, onWarning }: TsiProof): Promise<void> {
  const { alias, ports } = readAlias(attachment);
  await using scope = new Scope();
  const sentinels = await openSentinels(scope, alias);
  await Promise.all([
    ...[...OUTSIDE, ...sentinels].map((target) => expectBlocked(guest, target)),
    expectNoNames(guest),
  ]);
  const open = await findOpen(guest, alias, ports);
  if (open.length > 0)
    onWarning(
      `the guest reaches what listens on every address of this machine: ${open.join(", ")}; attachment tsi filters by address only`,
    );
}

function readAlias(attachment: AttachmentValues | undefined): {
  readonly alias: string;
  readonly ports: ReadonlySet<number>;
} {
  const endpoints = Object.values(attachment?.endpoints ?? {});
  const [alias = ""] = endpoints.map(({ host }) => host);
  if (!LOOPBACK.test(alias) || alias === USUAL || endpoints.some(({ host }) => host !== alias))
    throw notIsolated("its doors are not on one alias of the host's loopback");
  return { alias, ports: new Set(endpoints.map(({ port }) => port)) };
}

interface Target {
  readonly host: string;
  readonly port: number;
}

/** Listeners on the usual loopback, on a neighbouring alias and on the host's other addresses. */
async function openSentinels(scope: Scope, alias: string): Promise<readonly Target[]> {
  const others = Object.values(networkInterfaces())
    .flatMap((list) => (list ?? []).map(({ address }) => address))
    .filter((address) => address !== alias && !address.startsWith("fe80:"));
  const hosts = [...new Set([USUAL, "::1", neighbourOf(alias), ...others])].slice(0, MAX_ADDRESSES);
  const opened = await Promise.all(hosts.map((host) => openSentinel(scope, host)));
  return opened.filter((target) => target !== undefined);
}

/** The next alias of the pool, or the one before the last. */
function neighbourOf(alias: string): string {
  const last = Number(alias.slice(alias.lastIndexOf(".") + 1));
  return alias.replace(/\d+$/, String(last < 31 ? last + 1 : last - 1));
}

/** Undefined where this machine does not have the address. */
async function openSentinel(scope: Scope, host: string): Promise<Target | undefined> {
  const server = createServer((socket) => socket.destroy());
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(0, host, resolve);
    });
  } catch (error) {
    if (systemCode(error) === undefined || host === USUAL) throw error;
    return undefined;
  }
  scope.defer("sentinel", () => new Promise((resolve) => server.close(resolve)));
  const address = server.address();
  return typeof address === "object" && address !== null ? { host, port: address.port } : undefined;
}

async function expectBlocked(guest: Pick<Guest, "probe">, target: Target): Promise<void> {
  const answer = await guest.probe({ type: "tcp", ...target, timeoutMs: PROBE_MS });
  if (!BLOCKED.has(answer))
    throw notIsolated(`a connection to ${target.host}:${target.port} ended with "${answer}"`);
}

async function expectNoNames(guest: Pick<Guest, "probe">): Promise<void> {
  const answer = await guest.probe({ type: "dns", host: NAME_SERVER, timeoutMs: DNS_MS });
  if (answer === "answered") throw notIsolated("a name server answers it");
}

/** Silence is the answer of a name server that nobody reaches, so it is not waited for long. */
const DNS_MS = 500;

/** Ports of the alias that answer although they are no doors: the host's own on every address; anything else ends the launch. */
async function findOpen(
  guest: Pick<Guest, "probe">,
  alias: string,
  doors: ReadonlySet<number>,
): Promise<readonly number[]> {
  const listeners = readListeners() ?? [];
  const listening = listeners
    .filter(({ address }) => address === alias || address === "0.0.0.0")
    .map(({ port }) => port);
  const ports = [...new Set([...OTHER_PORTS, ...listening])]
    .filter((port) => !doors.has(port))
    .slice(0, MAX_PORTS);
  const answers = await Promise.all(
    ports.map((port) => guest.probe({ type: "tcp", host: alias, port, timeoutMs: PROBE_MS })),
  );
  const open = ports.filter((_, index) => answers[index] === "connected");
  const everywhere = new Set(
    [...listeners, ...(readListeners() ?? [])]
      .filter(({ address }) => address === "0.0.0.0")
      .map(({ port }) => port),
  );
  const own = open.filter((port) => !everywhere.has(port));
  if (own.length > 0)
    throw notIsolated(
      `port ${own.join(", ")} of ${alias} answers and is no door`,
      `stop what listens on ${alias}, then start again`,
    );
  return open;
}
