// Bottles on the real engine with an image that needs no build, and the fake bundle.
import { type Backend, type Bottle, type GuestPlan, openBackend } from "../../src/index.ts";
import { createFakeBundleHost } from "../../src/testing/index.ts";
import { openIn, type World } from "./bottle-world.ts";
import { testBase } from "./docker.ts";

/** The docker backend with an image by name and one runtime, whatever else is registered; the plan may differ in more. */
export async function dockerWith(changes: Partial<GuestPlan> = {}): Promise<Backend> {
  const docker = await openBackend("docker");
  const image = { kind: "reference", reference: testBase() } as const;
  return {
    ...docker,
    launch: (plan, context) =>
      docker.launch({ ...plan, image, runtime: "runc", ...changes }, context),
  };
}

/** Plans and launches a bottle of the world on docker. */
export async function openDockerBottle(
  world: World,
  changes: Partial<GuestPlan> = {},
): Promise<Bottle> {
  const backend = await dockerWith(changes);
  return openIn(world, { backend, bundleHost: createFakeBundleHost() });
}
