// What the parts of the contract share.
import { existsSync, readdirSync } from "node:fs";
import type { Backend, Bottle } from "../../src/index.ts";
import type { createFakeBundleHost } from "../../src/testing/index.ts";
import type { World } from "../support/bottle-world.ts";

/** A backend with a fake bundle, new for each test. */
export type OpenLaunchers = () => Promise<{
  readonly backend: Backend;
  readonly bundleHost: ReturnType<typeof createFakeBundleHost>;
}>;

/** What is left of a bottle on the host: nothing but the audit log, and the state when it was kept. */
export function leftovers(world: World): string[] {
  const below = (directory: string): string[] =>
    existsSync(directory) ? readdirSync(directory) : [];
  return [...below(world.home.run), ...below(world.home.state), ...below(world.home.queue)];
}

/** Runs a script to its end. */
export function sh(bottle: Bottle, script: string): ReturnType<Bottle["exec"]> {
  return bottle.exec(["/bin/sh", "-c", script]);
}
