// Runs in the emulated host: machines of smolvm alone and bottles in turn, from the same folder, of the same size.
//   node smolmachines-inside.mjs ROUNDS
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createExec, openBottle } from "../src/index.ts";
import type { Exec } from "../src/process/exec.ts";
import { planBench } from "./plan.ts";
import { printSamples, type Sample } from "./smolmachines-samples.ts";
import { makeWorld, type World } from "./world.ts";

const LIMITS = "limits: { cpus: 1, memory: 512MiB }";
const SIZE = ["--cpus", "1", "--mem", "512"];
const { BOT_BOTTLE_SMOLVM: smolvm = "", BOT_BOTTLE_IMAGE: image = "" } = process.env;

const samples: Sample[] = [];
const world = makeWorld(LIMITS);
for (let round = -1; round < Number(process.argv[2]); round += 1) {
  const alone = startAlone();
  const bottle = await startBottle(world);
  if (round >= 0) samples.push({ "smolvm alone, create and start": alone, ...bottle });
  process.stderr.write(`${JSON.stringify(samples.at(-1))}\n`);
}
printSamples(samples);
process.exit(0);

function startAlone(): number {
  const state = mkdtempSync(join(tmpdir(), "alone-"));
  const run = (...argv: readonly string[]): void => {
    const env = { ...process.env, HOME: state, SMOLVM_DATA_DIR: state };
    execFileSync(smolvm, ["machine", ...argv], { env, stdio: "ignore" });
  };
  try {
    const from = performance.now();
    run("create", "--name", "m", "--image", image, ...SIZE, "--", "sleep", "infinity");
    run("start", "--name", "m");
    return performance.now() - from;
  } finally {
    run("delete", "--name", "m", "--force");
    rmSync(state, { recursive: true, force: true });
  }
}

interface Command {
  readonly verb: string;
  readonly from: number;
  readonly to: number;
}

/** Notes each command of smolvm. */
function timedExec(commands: Command[]): Exec {
  const exec = createExec();
  return {
    start: (argv, options) => exec.start(argv, options),
    run: async (argv, options) => {
      const from = performance.now();
      const result = await exec.run(argv, options);
      const verb = argv[argv.indexOf("machine") + 1] ?? "";
      if (options?.name === "smolvm") commands.push({ verb, from, to: performance.now() });
      return result;
    },
  };
}

async function startBottle(world: World): Promise<Omit<Sample, "smolvm alone, create and start">> {
  const commands: Command[] = [];
  const steps = new Map<string, number>();
  const plan = await planBench(world, { backend: "smolmachines" });
  const began = performance.now();
  const onStep = (step: string): void => void steps.set(step, performance.now());
  const exec = timedExec(commands);
  const bottle = await openBottle(plan, { env: process.env, exec, onStep });
  const ready = performance.now();
  const launched = commands.slice();
  await bottle.close("measured");
  const at = (step: string): number => steps.get(step) ?? Number.NaN;
  const took = (is: (verb: string) => boolean): number =>
    launched.filter(({ verb }) => is(verb)).reduce((sum, { from, to }) => sum + to - from, 0);
  const started = launched.find(({ verb }) => verb === "start")?.to ?? Number.NaN;
  return {
    "a bottle, start to ready": ready - began,
    "of it: before the guest": at("guest") - began,
    "of it: smolvm create": took((verb) => verb === "create"),
    "of it: smolvm start": took((verb) => verb === "start"),
    "of it: smolvm's other commands": took((verb) => verb !== "create" && verb !== "start"),
    "of it: waiting for guest-init": at("isolation") - started,
    "of it: the bundle, beside the machine": at("doors") - at("bundle"),
    "of it: the proofs and the files": ready - at("isolation"),
    close: performance.now() - ready,
  };
}
