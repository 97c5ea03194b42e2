// Whether egress keeps its memory over a long life: requests of every kind by the hundred thousand, its resident memory in between.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { trustOf } from "./egress/client.ts";
import { memoryOf } from "./egress/cpu.ts";
import { bodies, type Contestant, events, manySmall, overHttp2 } from "./egress/measure.ts";
import { startOurs } from "./egress/peers.ts";
import { start } from "./egress/start-child.ts";
import { makeAuthorities, writeWorld } from "./egress/world.ts";
import { goal, table } from "./stats.ts";

/** Requests of a whole run; `BENCH_REQUESTS` names another number. */
const REQUESTS = 1_000_000;
const STEPS = 10;
/** Until what the last requests left can be collected. */
const SETTLE_MS = 2_000;
/** What the second half may add: compilers and pools are done by then, and the heap has the size that it takes. */
const GOAL_MIB = 10;

export async function benchEgressMemory(): Promise<string> {
  const total = Number(process.env["BENCH_REQUESTS"]) || REQUESTS;
  const made = makeAuthorities();
  const argv = [
    process.execPath,
    join(import.meta.dirname, "egress/upstream.ts"),
    JSON.stringify(made.upstream),
  ];
  const upstream = await start(argv, { cpu: 0, ready: "line" });
  const world = writeWorld(made, Number(upstream.line));
  const { name, door, caFile, started } = await startOurs(world);
  const trust = trustOf(readFileSync(caFile, "utf8"));
  const target = { door, upstreamPort: world.upstreamPort, trust };
  const one = { name, pid: started.pid, speaksHttp2: true, fresh: [], target };
  const samples: { readonly requests: number; readonly rss: number }[] = [];
  for (let sent = 0; samples.length < STEPS; ) {
    sent = await sendUntil(one, sent, (total / STEPS) * (samples.length + 1));
    await sleep(SETTLE_MS);
    samples.push({ requests: sent, rss: memoryOf(started.pid) });
    console.error(`bench: ${sent} requests, ${samples.at(-1)?.rss.toFixed(1)} MiB`);
  }
  started.stop();
  upstream.stop();
  return report(samples);
}

/** Small requests for the number, and some of each other kind, which keep other things. */
async function sendUntil(one: Contestant, from: number, until: number): Promise<number> {
  let sent = from;
  while (sent < until) sent += (await manySmall(one))["requests"] ?? until;
  await bodies(one);
  await events(one);
  await overHttp2(one);
  return sent;
}

function report(samples: readonly { readonly requests: number; readonly rss: number }[]): string {
  const rows = samples.map(({ requests, rss }) => [String(requests), rss.toFixed(1)]);
  const growth = (samples.at(-1)?.rss ?? Number.NaN) - (samples[STEPS / 2 - 1]?.rss ?? Number.NaN);
  return [
    "## Memory of egress over a long life\n",
    "Small requests over 32 connections; between the steps bodies of 1 MiB each way, events and HTTP/2.\n",
    table(["requests so far", "RSS MiB"], rows),
    goal("growth over the second half", growth, GOAL_MIB, " MiB"),
  ].join("\n");
}
