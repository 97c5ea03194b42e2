// What an idle bottle keeps in memory: the bundle with egress alone, guest-init, the sandboxes, the owner.
import { type ChildProcess, spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { cell, goal, median, table } from "./stats.ts";
import { makeWorld, type World } from "./world.ts";

const GOAL_MIB = 70;
/** Until the guest runs and what the bundle loads after its start is loaded. */
const SETTLE_MS = 3_000;
/** A sample is a whole bottle, so few are taken. */
const BOTTLES = 3;

interface Memory {
  readonly rss: number;
  readonly pss: number;
}
type Part = "bundle" | "guest-init" | "sandboxes" | "owner";

export async function benchMemory(): Promise<string> {
  const world = makeWorld();
  const samples: ReadonlyMap<Part, Memory>[] = [];
  for (let round = 0; round < BOTTLES; round += 1) samples.push(await sampleBottle(world));
  const of = (part: Part, kind: keyof Memory): number[] =>
    samples.map((sample) => sample.get(part)?.[kind] ?? 0);
  const parts: readonly Part[] = ["bundle", "guest-init", "sandboxes", "owner"];
  const sums = (kind: keyof Memory): number[] =>
    samples.map((sample) => [...sample.values()].reduce((sum, it) => sum + it[kind], 0));
  const rows = [
    ...parts.map((part) => [part, cell(of(part, "rss"), 1), cell(of(part, "pss"), 1)]),
    ["whole bottle", cell(sums("rss"), 1), cell(sums("pss"), 1)],
  ];
  return [
    "## Memory of an idle bottle\n",
    `\`sleep\` in a bottle, ${SETTLE_MS / 1000} s after its start, ${BOTTLES} bottles one after another. RSS counts what processes share in each of them, PSS once.\n`,
    table(["part", "RSS MiB", "PSS MiB"], rows),
    goal("RSS of the bundle", median(of("bundle", "rss")), GOAL_MIB, " MiB"),
  ].join("\n");
}

async function sampleBottle(world: World): Promise<ReadonlyMap<Part, Memory>> {
  const [program = "", ...args] = world.start(["sleep", "60"]);
  const owner = spawn(program, args, {
    cwd: world.project,
    env: { ...process.env, ...world.env },
    stdio: "ignore",
  });
  try {
    await sleep(SETTLE_MS);
    return sumParts(owner.pid ?? 0);
  } finally {
    await end(owner);
  }
}

async function end(owner: ChildProcess): Promise<void> {
  const exited = new Promise((resolve) => owner.once("exit", resolve));
  owner.kill("SIGTERM");
  await exited;
}

function sumParts(owner: number): ReadonlyMap<Part, Memory> {
  const parts = new Map<Part, Memory>();
  for (const pid of [owner, ...descendants(owner)]) {
    const part = pid === owner ? "owner" : partOf(pid);
    if (part === undefined) continue;
    const [sum, own] = [parts.get(part) ?? { rss: 0, pss: 0 }, memoryOf(pid)];
    parts.set(part, { rss: sum.rss + own.rss, pss: sum.pss + own.pss });
  }
  return parts;
}

/** The program in the guest is not ours, so it does not count. */
function partOf(pid: number): Part | undefined {
  const argv = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
  const program = argv[0] ?? "";
  if (program === "/run/bundle/node") return "bundle";
  if (program.endsWith("/node")) return "guest-init";
  return program.endsWith("bwrap") ? "sandboxes" : undefined;
}

function descendants(pid: number): number[] {
  return readdirSync(`/proc/${pid}/task`).flatMap((task) => {
    const children = readFileSync(`/proc/${pid}/task/${task}/children`, "utf8").trim();
    const pids = children === "" ? [] : children.split(" ").map(Number);
    return pids.flatMap((child) => [child, ...descendants(child)]);
  });
}

function memoryOf(pid: number): Memory {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  const mib = (field: string): number =>
    Number(new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(text)?.[1] ?? 0) / 1024;
  return { rss: mib("Rss"), pss: mib("Pss") };
}
