// The egress proxy beside other intercepting proxies and no proxy at all: small requests, handshakes, bodies, events, memory.
// Every program checks the upstream's certificate, allows by a list and puts a header in; rounds are interleaved.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { trustOf } from "./egress/client.ts";
import { memoryOf } from "./egress/cpu.ts";
import {
  bodies,
  type Contestant,
  events,
  type Figures,
  handshakes,
  manySmall,
  oneSmall,
  overHttp2,
} from "./egress/measure.ts";
import { type Peer, startMitmproxy, startNodePeer, startOurs, startSquid } from "./egress/peers.ts";
import { start } from "./egress/start-child.ts";
import { type EgressWorld, makeAuthorities, newHosts, writeWorld } from "./egress/world.ts";
import { cell, goal, median, table } from "./stats.ts";

const MODES: Readonly<Record<string, (one: Contestant) => Promise<Figures>>> = {
  [`Small requests over 32 connections`]: manySmall,
  "Small requests over one connection": oneSmall,
  Handshakes: handshakes,
  "Bodies of 1 MiB over 4 connections": bodies,
  "Server-sent events": events,
  "HTTP/2, 32 streams at a time": overHttp2,
};

/** Before anything counts: compilers take some ten thousand requests to be done, whatever share of a processor there is. */
const WARM_UP_REQUESTS = 30_000;
const WARM_UP_MS = 25_000;

const OURS = "bot-bottle";

/** All runs: mode, contestant, figure, one value a round. */
type Results = Map<string, Map<string, Map<string, number[]>>>;

export async function benchEgress(rounds: number): Promise<string> {
  const made = makeAuthorities();
  const upstream = await start(
    [
      process.execPath,
      join(import.meta.dirname, "egress/upstream.ts"),
      JSON.stringify(made.upstream),
    ],
    { cpu: 0, ready: "line" },
  );
  const world = writeWorld(made, Number(upstream.line));
  const peers = await startPeers(world);
  const contestants = [direct(world), ...peers.map((peer) => contestant(peer, world))];
  const idle = new Map(peers.map((peer) => [peer.name, memoryOf(peer.started.pid)]));
  for (const one of contestants) await warmUp(one);
  const results: Results = new Map();
  for (let round = -1; round < rounds; round += 1) await runRound(contestants, round, results);
  const after = new Map(peers.map((peer) => [peer.name, memoryOf(peer.started.pid)]));
  for (const peer of peers) peer.started.stop();
  upstream.stop();
  return report(results, { idle, after });
}

async function warmUp(one: Contestant): Promise<void> {
  const until = performance.now() + WARM_UP_MS;
  for (let count = 0; count < WARM_UP_REQUESTS && performance.now() < until; ) {
    count += (await manySmall(one))["requests"] ?? WARM_UP_REQUESTS;
  }
}

/** Starts those that can be had here; `BENCH_EGRESS` names them when not all are wanted. */
async function startPeers(world: EgressWorld): Promise<readonly Peer[]> {
  const wanted = process.env["BENCH_EGRESS"]?.split(",");
  const all = {
    ours: () => startOurs(world),
    squid: () => startSquid(world),
    srt: () => startNodePeer(world, "srt"),
    mockttp: () => startNodePeer(world, "mockttp"),
    mitmproxy: () => startMitmproxy(world),
  };
  const peers: Peer[] = [];
  for (const [name, begin] of Object.entries(all)) {
    if (wanted !== undefined && !wanted.includes(name)) continue;
    try {
      peers.push(await begin());
    } catch (error) {
      console.error(`bench: ${name} is left out: ${String(error)}`);
    }
  }
  return peers;
}

const direct = (world: EgressWorld): Contestant => ({
  name: "direct",
  pid: undefined,
  speaksHttp2: true,
  fresh: [...newHosts()],
  target: { door: undefined, upstreamPort: world.upstreamPort, trust: trustOf(world.upstreamCa) },
});

function contestant(peer: Peer, world: EgressWorld): Contestant {
  const trust = trustOf(readFileSync(peer.caFile, "utf8"));
  const target = { door: peer.door, upstreamPort: world.upstreamPort, trust };
  const { name, started } = peer;
  const speaksHttp2 = name === OURS;
  return { name, pid: started.pid, speaksHttp2, fresh: [...newHosts()], target };
}

/** Every mode of every contestant, each time another one first; the round before the first one only warms up. */
async function runRound(
  contestants: readonly Contestant[],
  round: number,
  results: Results,
): Promise<void> {
  for (const [mode, measure] of Object.entries(MODES)) {
    for (let turn = 0; turn < contestants.length; turn += 1) {
      const one = contestants[(turn + round + contestants.length) % contestants.length];
      if (one === undefined) continue;
      const figures = await measure(one).catch((error: unknown) => {
        console.error(`bench: ${one.name}, ${mode}: ${String(error)}`);
        return {};
      });
      if (round >= 0) note(results, { mode, name: one.name, figures });
    }
  }
}

function note(
  results: Results,
  { mode, name, figures }: { mode: string; name: string; figures: Figures },
): void {
  const ofMode = results.get(mode) ?? new Map<string, Map<string, number[]>>();
  results.set(mode, ofMode);
  const ofOne = ofMode.get(name) ?? new Map<string, number[]>();
  ofMode.set(name, ofOne);
  for (const [figure, value] of Object.entries(figures)) {
    ofOne.set(figure, [...(ofOne.get(figure) ?? []), value]);
  }
}

interface Memory {
  readonly idle: ReadonlyMap<string, number>;
  readonly after: ReadonlyMap<string, number>;
}

function report(results: Results, memory: Memory): string {
  const parts = ["## Egress at its listener\n"];
  for (const [mode, ofMode] of results) {
    const figures = [...new Set([...ofMode.values()].flatMap((it) => [...it.keys()]))];
    const rows = [...ofMode]
      .filter(([, ofOne]) => ofOne.size > 0)
      .map(([name, ofOne]) => [name, ...figures.map((figure) => showFigure(ofOne.get(figure)))]);
    parts.push(`### ${mode}\n`, table(["proxy", ...figures], rows));
  }
  const rows = [...memory.idle].map(([name, idle]) => [
    name,
    idle.toFixed(0),
    (memory.after.get(name) ?? Number.NaN).toFixed(0),
  ]);
  parts.push("### Memory\n", table(["proxy", "idle RSS MiB", "after load RSS MiB"], rows));
  parts.push(...goals(results, memory));
  return parts.join("\n");
}

const showFigure = (values: readonly number[] | undefined): string =>
  values === undefined ? "–" : cell(values, median(values) < 10 ? 2 : 0);

function goals(results: Results, memory: Memory): readonly string[] {
  const [small, one, shake, body, sse] = Object.keys(MODES).map((mode) => results.get(mode));
  const of = (ofMode: typeof small, name: string, figure: string): readonly number[] =>
    [...(ofMode ?? new Map<string, Map<string, number[]>>())]
      .find(([it]) => it.startsWith(name))?.[1]
      .get(figure) ?? [];
  const pairs = (
    ofMode: typeof small,
    figure: string,
    to: string,
    combine: (a: number, b: number) => number,
  ): number =>
    median(
      of(ofMode, OURS, figure).map((value, round) =>
        combine(value, of(ofMode, to, figure)[round] ?? Number.NaN),
      ),
    );
  const ratio = (a: number, b: number): number => a / b;
  const less = (a: number, b: number): number => a - b;
  return [
    goal("CPU per small request ÷ squid", pairs(small, "cpu µs/request", "squid", ratio), 1),
    goal(
      "CPU per small request ÷ mitmproxy",
      pairs(small, "cpu µs/request", "mitmproxy", ratio),
      0.125,
    ),
    goal("added p50 on one connection", pairs(one, "p50 ms", "direct", less), 0.4, " ms"),
    goal("CPU of a connection to a new host", median(of(shake, OURS, "new cpu ms")), 8, " ms"),
    goal(
      "CPU of a connection to a known host",
      median(of(shake, OURS, "known cpu ms")),
      2.5,
      " ms",
    ),
    goal(
      "mitmproxy's throughput down ÷ ours",
      1 / pairs(body, "down MB/s", "mitmproxy", ratio),
      1 / 1.3,
    ),
    goal(
      "mitmproxy's throughput up ÷ ours",
      1 / pairs(body, "up MB/s", "mitmproxy", ratio),
      1 / 1.3,
    ),
    goal("added p50 of an event", pairs(sse, "p50 ms", "direct", less), 0.5, " ms"),
    goal("idle memory", memory.idle.get(OURS) ?? Number.NaN, 70, " MiB"),
  ];
}
