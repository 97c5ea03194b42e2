// A program's round trip in a running bottle, through the SDK: order, start, output, exit.
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { goal, median, percentile, table } from "./stats.ts";
import { makeWorld, ROOT } from "./world.ts";

const GOAL_MS = 10;
const WARM_UP = 20;
const CALLS_PER_ROUND = 30;

type Sdk = typeof import("../src/index.ts");

export async function benchExec(rounds: number): Promise<string> {
  // oxlint-disable-next-line typescript/no-unsafe-assignment -- the built file has the types of the sources
  const sdk: Sdk = await import(pathToFileURL(join(ROOT, "dist/index.js")).href);
  await using bottle = await openBottle(sdk);
  const programs = [["true"], ["echo", "hello"]] as const;
  const times = programs.map((): number[] => []);
  for (let call = 0; call < WARM_UP; call += 1) await bottle.exec(["true"]);
  for (let call = 0; call < rounds * CALLS_PER_ROUND; call += 1) {
    for (const [index, argv] of programs.entries()) {
      const began = performance.now();
      const { exitCode } = await bottle.exec([...argv]);
      times[index]?.push(performance.now() - began);
      if (exitCode !== 0) throw new Error(`${argv.join(" ")} ended with ${exitCode}`);
    }
  }
  const rows = programs.map((argv, index) => {
    const all = times[index] ?? [];
    const cells = [median(all), percentile(all, 0.9), percentile(all, 0.99), Math.min(...all)];
    return [argv.join(" "), ...cells.map((ms) => ms.toFixed(1))];
  });
  return [
    "## A program in a running bottle\n",
    `\`bottle.exec(argv)\` of the SDK, ${rounds * CALLS_PER_ROUND} calls each.\n`,
    table(["program", "p50 ms", "p90 ms", "p99 ms", "min ms"], rows),
    goal("round trip, p50", median(times[0] ?? []), GOAL_MS, " ms"),
  ].join("\n");
}

async function openBottle(sdk: Sdk): Promise<Awaited<ReturnType<Sdk["openBottle"]>>> {
  const world = makeWorld();
  const { plan } = await sdk.planStart({
    home: sdk.homePaths(sdk.parseHostPath(world.home)),
    userHome: sdk.parseHostPath(world.project),
    cwd: sdk.parseHostPath(world.project),
    env: process.env,
    agent: "bench",
    bottles: [],
    options: {
      backend: "bubblewrap",
      copyCwd: false,
      label: undefined,
      color: undefined,
      mode: "headless",
      prompt: undefined,
      command: ["true"],
      allow: [],
      keep: false,
    },
    hasTerminal: false,
  });
  return sdk.openBottle(plan, { env: process.env });
}
