// Plans a start of the benchmark's one agent through the SDK.
import {
  type BottlePlan,
  homePaths,
  parseHostPath,
  planStart,
  type StartOptions,
} from "../src/index.ts";
import type { World } from "./world.ts";

/** Plans without looking at the operator's own home. */
export async function planBench(world: World, options: Partial<StartOptions>): Promise<BottlePlan> {
  const { plan } = await planStart({
    home: homePaths(parseHostPath(world.home)),
    userHome: parseHostPath(world.project),
    cwd: parseHostPath(world.project),
    env: process.env,
    agent: "bench",
    bottles: [],
    options: {
      ...{ backend: "bubblewrap", copyCwd: false, label: undefined, color: undefined },
      ...{ mode: "headless", prompt: undefined, command: ["true"], allow: [], keep: false },
      ...options,
    },
    hasTerminal: false,
  });
  return plan;
}
