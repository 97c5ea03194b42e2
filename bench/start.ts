// The whole CLI, from its start to its exit, running `true` in a bottle with egress up; beside another sandbox of Node's world.
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { interleave, measure } from "./harness.ts";
import { sandboxRuntime } from "./sandbox-runtime.ts";
import { cell, comparison, goal, median, ratios, table } from "./stats.ts";
import { makeWorld, type World } from "./world.ts";

const GOAL = 0.7;
const STRETCH = 0.4;
const PROGRAM = ["true"];

export async function benchStart(rounds: number): Promise<string> {
  const world = makeWorld();
  const srt = sandboxRuntime(PROGRAM);
  const cwd = world.project;
  const measured = await interleave(
    [
      { ...srt, cwd },
      { name: "bot-bottle start", argv: world.start(PROGRAM), cwd, env: world.env },
      { name: "bwrap true", argv: ["bwrap", "--ro-bind", "/", "/", "--unshare-all", ...PROGRAM] },
      { name: "node -e 0", argv: [process.execPath, "-e", "0"] },
    ],
    rounds,
  );
  const [other, ours] = measured;
  if (other === undefined || ours === undefined) throw new Error("nothing was measured");
  const ratio = median(ratios(ours, other));
  return [
    "## A bottle from start to exit\n",
    "`bot-bottle start bench --headless -- true` on bubblewrap, with a bundle, its egress and its audit log.\n",
    comparison(measured, other),
    goal(`wall ÷ ${other.name}`, ratio, GOAL),
    goal("the same, stretched", ratio, STRETCH),
    "### Where the time goes\n",
    await benchSteps(world, rounds),
  ].join("\n");
}

interface Step {
  readonly name: string;
  readonly at: number;
}

/** Steps by their beginnings, from the file of events. */
async function benchSteps(world: World, rounds: number): Promise<string> {
  const shares = new Map<string, number[]>();
  for (let round = 0; round < rounds; round += 1) {
    const steps = await readSteps(world);
    for (const [index, step] of steps.entries()) {
      const next = steps[index + 1];
      if (next === undefined) continue;
      const list = shares.get(step.name) ?? [];
      list.push(next.at - step.at);
      shares.set(step.name, list);
    }
  }
  const total = [...shares.values()].reduce((sum, list) => sum + median(list), 0);
  const rows = [...shares].map(([name, list]) => [
    name,
    cell(list),
    `${((median(list) / total) * 100).toFixed(0)} %`,
  ]);
  return table(["from the beginning of this step to the next", "ms", "share"], rows);
}

async function readSteps(world: World): Promise<readonly Step[]> {
  const file = join(world.project, "events.jsonl");
  rmSync(file, { force: true });
  const argv = world.start(PROGRAM, ["--events", file]);
  const began = Date.now();
  await measure({ name: "start", argv, cwd: world.project, env: world.env });
  const ended = Date.now();
  const events = readFileSync(file, "utf8").trim().split("\n").map(readEvent);
  return [
    { name: "Node's start, command, manifest, plan", at: began },
    ...events,
    { name: "", at: ended },
  ];
}

function readEvent(line: string): Step {
  const event: unknown = JSON.parse(line);
  const fields = new Map<string, unknown>(
    typeof event === "object" && event !== null ? Object.entries(event) : [],
  );
  const step = fields.get("step") ?? fields.get("kind");
  return { name: String(step), at: Date.parse(String(fields.get("time"))) };
}
