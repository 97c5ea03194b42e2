// One measurement of one proxy at a time. Each gives figures by name; processor time is the proxy's own, of all its processes.
import { get, Lane, open, readEvents, streams, type Target, upload, varied } from "./client.ts";
import { cpuOf } from "./cpu.ts";
import { CONNECTIONS } from "./modes.ts";
import { HOST } from "./world.ts";

/** What is measured: a proxy, or the upstream without one. */
export interface Contestant {
  readonly name: string;
  readonly target: Target;
  readonly pid: number | undefined;
  readonly speaksHttp2: boolean;
  /** Names that this one has not been asked for yet. */
  readonly fresh: string[];
}

/** Figures of one run, by name. */
export type Figures = Readonly<Record<string, number>>;

const cpu = (one: Contestant): number => (one.pid === undefined ? 0 : cpuOf(one.pid));

interface LoadOptions {
  readonly request: () => Buffer;
  readonly connections: number;
  readonly ms: number;
}

/** Requests one after another on each of some connections, for a time. */
async function load(
  one: Contestant,
  { request, connections, ms }: LoadOptions,
): Promise<{ count: number; seconds: number; cpuMs: number; p50: number; p99: number }> {
  const sockets = [];
  for (let i = 0; i < connections; i += 1) sockets.push(await open(one.target, HOST));
  const warm = new Set(sockets);
  for (const socket of warm) await new Lane(socket, request, () => false).run();
  const times: number[] = [];
  const began = performance.now();
  const before = cpu(one);
  const until = began + ms;
  const onAnswer = (took: number): boolean => {
    times.push(took);
    return performance.now() < until;
  };
  await Promise.all(sockets.map((socket) => new Lane(socket, request, onAnswer).run()));
  const cpuMs = cpu(one) - before;
  const seconds = (performance.now() - began) / 1000;
  for (const socket of sockets) {
    socket.removeAllListeners("close").removeAllListeners("error");
    socket.on("error", () => undefined);
    socket.destroy();
  }
  times.sort((a, b) => a - b);
  const at = (part: number): number => times[Math.floor(times.length * part)] ?? Number.NaN;
  return { count: times.length, seconds, cpuMs, p50: at(0.5), p99: at(0.99) };
}

/** Small requests over many connections that stay open. */
export async function manySmall(one: Contestant): Promise<Figures> {
  const request = varied(HOST, one.target.upstreamPort, "/small");
  const { count, seconds, cpuMs, p50 } = await load(one, {
    request,
    connections: CONNECTIONS,
    ms: 1200,
  });
  const each = (cpuMs * 1000) / count;
  return { requests: count, "req/s": count / seconds, "cpu µs/request": each, "p50 ms": p50 };
}

/** Small requests over one connection: what the proxy adds to the time of each. */
export async function oneSmall(one: Contestant): Promise<Figures> {
  const request = varied(HOST, one.target.upstreamPort, "/small");
  const { count, cpuMs, p50, p99 } = await load(one, { request, connections: 1, ms: 800 });
  return { "p50 ms": p50, "p99 ms": p99, "cpu µs/request": (cpuMs * 1000) / count };
}

/** Large bodies. */
export async function bodies(one: Contestant): Promise<Figures> {
  const down = get(HOST, one.target.upstreamPort, "/mib");
  const up = upload(HOST, one.target.upstreamPort);
  const a = await load(one, { request: () => down, connections: 4, ms: 900 });
  const b = await load(one, { request: () => up, connections: 4, ms: 900 });
  return {
    "down MB/s": (a.count * 1.048576) / a.seconds,
    "down cpu ms/MiB": a.cpuMs / a.count,
    "up MB/s": (b.count * 1.048576) / b.seconds,
    "up cpu ms/MiB": b.cpuMs / b.count,
  };
}

async function connections(
  one: Contestant,
  hosts: readonly string[],
): Promise<{ ms: number; cpuMs: number }> {
  const before = cpu(one);
  const times: number[] = [];
  for (const host of hosts) {
    const began = performance.now();
    const socket = await open(one.target, host);
    const request = get(host, one.target.upstreamPort, "/small");
    await new Lane(
      socket,
      () => request,
      () => false,
    ).run();
    times.push(performance.now() - began);
    socket.removeAllListeners("close").removeAllListeners("error");
    socket.on("error", () => undefined);
    socket.destroy();
  }
  times.sort((a, b) => a - b);
  return { ms: times[times.length >> 1] ?? Number.NaN, cpuMs: (cpu(one) - before) / hosts.length };
}

/** A connection to a host that was connected to before, then one to hosts that were not. */
export async function handshakes(one: Contestant): Promise<Figures> {
  const known = await connections(one, Array<string>(40).fill(HOST));
  const fresh = await connections(one, one.fresh.splice(0, 12));
  return {
    "known p50 ms": known.ms,
    "known cpu ms": known.cpuMs,
    "new p50 ms": fresh.ms,
    "new cpu ms": fresh.cpuMs,
  };
}

/** Small requests over HTTP/2, for those that speak it. */
export async function overHttp2(one: Contestant): Promise<Figures> {
  if (!one.speaksHttp2) return {};
  const before = cpu(one);
  const began = performance.now();
  const count = await streams(one.target, HOST, { parallel: CONNECTIONS, ms: 1000 });
  const seconds = (performance.now() - began) / 1000;
  return { "req/s": count / seconds, "cpu µs/request": ((cpu(one) - before) * 1000) / count };
}

/** Server-sent events: how late each is. */
export async function events(one: Contestant): Promise<Figures> {
  const socket = await open(one.target, HOST);
  const delays = await readEvents(socket, get(HOST, one.target.upstreamPort, "/sse"));
  socket.on("error", () => undefined);
  socket.destroy();
  const sorted = delays.toSorted((a, b) => a - b);
  return {
    "p50 ms": sorted[sorted.length >> 1] ?? Number.NaN,
    "max ms": sorted.at(-1) ?? Number.NaN,
  };
}
