// What a bottle on docker costs beside the bare engine: start, a program's round trip, removal, memory. The bare side makes
// its containers through the engine's API as well, from the same image, with the same confinement.
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { openGuestLink } from "../src/backends/shared/guest-link.ts";
import { parseGuestPath } from "../src/base/ids.ts";
import type { ContainerBody, Engine, HostConfigBody } from "../src/engine/contract.ts";
import { openEngine } from "../src/engine/engine.ts";
import { ensureImage } from "../src/images/ensure-image.ts";
import { type Bottle, openBottle, type StartOptions } from "../src/index.ts";
import { planBench } from "./plan.ts";
import { cell, goal, median, percentile, table } from "./stats.ts";
import { makeWorld, ROOT, type World } from "./world.ts";

const START_GOAL = 1.25;
const EXEC_GOAL = 1.2;
const CALLS_PER_ROUND = 10;
const SETTLE_MS = 2_000;

interface Kind {
  readonly attachment: "sockets" | "internal";
  readonly runtime: string;
}

const KINDS: readonly Kind[] = [
  { attachment: "sockets", runtime: "runc" },
  { attachment: "sockets", runtime: "runsc" },
  { attachment: "internal", runtime: "runc" },
];
const SOCKETS = "attachment: sockets\nruntime: runc";

/** Guest and bundle come up side by side, and the guest's isolation is proven while the bundle still does. */
const STEPS = [
  "create and start",
  "guest-init",
  "bottle",
  "of it: the guest",
  "of it: the bundle",
  "of it: the proofs",
  "close",
] as const;
type Times = Record<(typeof STEPS)[number], number[]>;

/** Sections of both attachments. */
export async function benchDocker(rounds: number): Promise<string> {
  using engine = await openEngine(process.env);
  const sections = ["## Docker\n"];
  const { Runtimes } = await engine.info();
  for (const kind of KINDS) {
    if (Runtimes[kind.runtime] === undefined) sections.push(`${kind.runtime} is not there.\n`);
    else sections.push(await benchStart(engine, kind, rounds));
  }
  sections.push(await benchExec(engine, rounds));
  sections.push(await benchMemory(engine));
  return sections.join("\n");
}

async function benchStart(engine: Engine, kind: Kind, rounds: number): Promise<string> {
  const { attachment, runtime } = kind;
  const world = makeWorld(`attachment: ${attachment}\nruntime: ${runtime}`);
  const image = await benchImage(engine);
  const times = emptyTimes();
  for (let round = -1; round < rounds; round += 1) {
    const kept = round < 0 ? emptyTimes() : times;
    await sampleBare(engine, { image, ...kind, times: kept });
    await sampleBottle(world, kept);
  }
  const bare = times["create and start"].map((ms, at) => ms + (times["guest-init"][at] ?? 0));
  const ratio = times.bottle.map((ms, at) => ms / (bare[at] ?? Number.NaN));
  return [
    `### Start to agent ready, attachment ${attachment}, ${runtime}\n`,
    table(
      ["step", "ms"],
      STEPS.map((name) => [name, cell(times[name])]),
    ),
    goal("bottle ÷ (create and start + guest-init)", median(ratio), START_GOAL),
  ].join("\n");
}

function emptyTimes(): Times {
  return {
    ...{ "create and start": [], "guest-init": [], bottle: [] },
    ...{ "of it: the guest": [], "of it: the bundle": [], "of it: the proofs": [], close: [] },
  };
}

async function benchImage(engine: Engine): Promise<string> {
  const plan = { kind: "provider", template: "command", tag: "bot-bottle-command:latest" } as const;
  const onProgress = (line: string): void => console.error(`bench: ${line}`);
  return (await ensureImage(plan, { engine, env: process.env, signal: undefined, onProgress })).id;
}

const CONFINEMENT: HostConfigBody = {
  ReadonlyRootfs: true,
  CapDrop: ["ALL"],
  SecurityOpt: ["no-new-privileges"],
  LogConfig: { Type: "none" },
  Tmpfs: { "/tmp": "size=64m" },
};

function bareBody(image: string, argv: readonly string[], host: HostConfigBody): ContainerBody {
  const stdio = { OpenStdin: true, StdinOnce: true, AttachStdin: true, AttachStdout: true };
  return {
    Image: image,
    Entrypoint: argv,
    User: "1000:1000",
    ...stdio,
    Healthcheck: { Test: ["NONE"] },
    HostConfig: { ...CONFINEMENT, ...host },
  };
}

interface BareInput extends Kind {
  readonly image: string;
  readonly times: Times;
}

/** Network where there is one, container, start; then guest-init's own start in such a container. */
async function sampleBare(
  engine: Engine,
  { image, attachment, runtime, times }: BareInput,
): Promise<void> {
  const name = `bot-bottle-bench-${process.pid}`;
  const init = `${ROOT}/dist/guest-init.js`;
  const target = "/opt/guest-init.js";
  const body = bareBody(image, ["node", target, "-"], {
    NetworkMode: attachment === "sockets" ? "none" : name,
    Runtime: runtime,
    Mounts: [{ Type: "bind", Source: init, Target: target, ReadOnly: true }],
  });
  try {
    const began = performance.now();
    if (attachment === "internal")
      await engine.networks.create({ Name: name, Internal: true, CheckDuplicate: true });
    await engine.containers.create(name, body);
    const stream = await engine.containers.attach(name, { tty: false, stdin: true });
    await engine.containers.start(name);
    const started = performance.now();
    const link = await openGuestLink(
      { input: stream.stdout, output: stream.stdin },
      { env: {}, relays: [], home: parseGuestPath("/tmp") },
    );
    times["create and start"].push(started - began);
    times["guest-init"].push(performance.now() - started);
    link.destroy();
    stream.destroy();
  } finally {
    await engine.containers.remove(name);
    if (attachment === "internal") await engine.networks.remove(name);
  }
}

async function sampleBottle(world: World, times: Times): Promise<void> {
  const plan = await planBench(world, OPTIONS);
  const steps = new Map<string, number>();
  const began = performance.now();
  const onStep = (step: string): void => void steps.set(step, performance.now() - began);
  const bottle = await openBottle(plan, { env: process.env, onStep });
  times.bottle.push(performance.now() - began);
  const at = (step: string): number => steps.get(step) ?? 0;
  times["of it: the guest"].push(at("isolation") - at("guest"));
  times["of it: the bundle"].push(at("doors") - at("bundle"));
  times["of it: the proofs"].push(at("provision") - at("isolation"));
  const closing = performance.now();
  const { gone } = await bottle.close("measured");
  times.close.push(performance.now() - closing);
  // What the engine removes after the answer is not to disturb the next one.
  await gone;
}

const OPTIONS: Partial<StartOptions> = { backend: "docker" };

async function benchExec(engine: Engine, rounds: number): Promise<string> {
  const world = makeWorld(SOCKETS);
  await using bottle = await openBottle(await planBench(world, OPTIONS), { env: process.env });
  const name = `bot-bottle-bench-${process.pid}`;
  const image = await benchImage(engine);
  const body = bareBody(image, ["sleep", "600"], { NetworkMode: "none", Runtime: "runc" });
  try {
    await engine.containers.create(name, body);
    await engine.containers.start(name);
    const [ours, bare]: [number[], number[]] = [[], []];
    for (let call = 0; call < rounds * CALLS_PER_ROUND; call += 1) {
      ours.push(await timed(() => runInBottle(bottle)));
      bare.push(await timed(() => runBare(engine, name)));
    }
    const rows = [["bottle.exec", ours] as const, ["the engine's own exec", bare] as const].map(
      ([what, all]) => [
        what,
        ...[median(all), percentile(all, 0.9), Math.min(...all)].map((ms) => ms.toFixed(1)),
      ],
    );
    return [
      "### A program in a running bottle\n",
      table(["`true`", "p50 ms", "p90 ms", "min ms"], rows),
      goal("bottle.exec ÷ the engine's own, p50", median(ours) / median(bare), EXEC_GOAL),
    ].join("\n");
  } finally {
    await engine.containers.remove(name);
  }
}

async function timed(work: () => Promise<void>): Promise<number> {
  const began = performance.now();
  await work();
  return performance.now() - began;
}

async function runInBottle(bottle: Bottle): Promise<void> {
  const { exitCode } = await bottle.exec(["true"]);
  if (exitCode !== 0) throw new Error(`true ended with ${exitCode}`);
}

async function runBare(engine: Engine, container: string): Promise<void> {
  const streams = { AttachStdin: false, AttachStdout: true, AttachStderr: true };
  const id = await engine.execs.create(container, { Cmd: ["true"], Tty: false, ...streams });
  const stream = await engine.execs.start(id, { tty: false, stdin: false });
  stream.stderr.resume();
  for await (const chunk of stream.stdout) void chunk;
  await engine.execs.inspect(id);
}

/** Memory of all processes in a container, from the outside. */
async function benchMemory(engine: Engine): Promise<string> {
  const world = makeWorld(SOCKETS);
  await using bottle = await openBottle(await planBench(world, OPTIONS), { env: process.env });
  const name = `bot-bottle-bench-${process.pid}`;
  const image = await benchImage(engine);
  try {
    await engine.containers.create(
      name,
      bareBody(image, ["sleep", "600"], { NetworkMode: "none", Runtime: "runc" }),
    );
    await engine.containers.start(name);
    await sleep(SETTLE_MS);
    const [guest = ""] = bottle.guest.resources.objects["container"] ?? [];
    const rows: string[][] = [];
    for (const [what, container] of [
      ["guest of an idle bottle", guest],
      ["idle container, `sleep`", name],
    ] as const) {
      const pid = (await engine.containers.inspect(container))?.State.Pid ?? 0;
      rows.push([what, ...memoryBeside(pid).map((mib) => mib.toFixed(1))]);
    }
    return [
      "### Memory of an idle bottle\n",
      "The bundle and the owner are those of every backend, shown above.\n",
      table(["processes in", "RSS MiB", "PSS MiB"], rows),
    ].join("\n");
  } finally {
    await engine.containers.remove(name);
  }
}

/** All that runs in the pid namespace of a process: an engine starts some of it beside the first, not below it. */
function memoryBeside(pid: number): readonly [rss: number, pss: number] {
  const namespace = namespaceOf(pid);
  const sums: [number, number] = [0, 0];
  for (const name of readdirSync("/proc").filter((it) => /^\d+$/.test(it))) {
    if (namespaceOf(Number(name)) !== namespace) continue;
    const text = readFileSync(`/proc/${name}/smaps_rollup`, "utf8");
    for (const [at, field] of ["Rss", "Pss"].entries())
      sums[at] =
        (sums[at] ?? 0) +
        Number(new RegExp(`^${field}:\\s+(\\d+)`, "m").exec(text)?.[1] ?? 0) / 1024;
  }
  return sums;
}

/** Undefined for a process that is gone meanwhile. */
function namespaceOf(pid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/pid`);
  } catch (error) {
    void error;
    return undefined;
  }
}

/** Whether an engine answers; the benchmark is left out where none does. */
export function hasEngine(): boolean {
  try {
    execFileSync("docker", ["version"], { stdio: "ignore" });
    return true;
  } catch (error) {
    void error;
    return false;
  }
}
