// Real bundles in containers for suites that expect the fake one: they can be told to die for good, and to fail on the way.
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { expect, vi } from "vitest";
import type { BundleContext, BundleHandle, BundlePlan } from "../../src/bundle/contract.ts";
import { createContainerBundleHost } from "../../src/bundle/launch-container.ts";
import { bundleNames } from "../../src/bundle/render-container.ts";
import type { HostPath } from "../../src/index.ts";
import type { SuiteBundleHost } from "../contract/attachments.ts";
import { testBase } from "./docker.ts";

const run = promisify(execFile);
/** A bundle is started again three times before it is given up. */
const CRASH_MS = 60_000;

/** Bundles around the built entry file, of the home of one cache; `failure` ends a launch whose network stands already. */
export function createContainerBundles(
  cacheDir: HostPath,
  { failure }: { readonly failure?: Error } = {},
): SuiteBundleHost {
  const real = createContainerBundleHost();
  const launched: { crash(): void }[] = [];
  const launch = async (plan: BundlePlan, context: BundleContext): Promise<BundleHandle> => {
    const env = { ...context.ports.env, BOT_BOTTLE_BASE_IMAGE: testBase() };
    const onStage: BundleContext["onStage"] = (stage) => {
      if (failure !== undefined) throw failure;
      context.onStage?.(stage);
    };
    const own = { ...context, ports: { ...context.ports, env }, onStage };
    const handle = await real.launch({ ...plan, cacheDir }, own);
    launched.push({ crash: () => void killForGood(bundleNames(plan.id).container, handle) });
    return handle;
  };
  return { launched, launch };
}

/** Kills each life until none follows. */
async function killForGood(container: string, { closed }: BundleHandle): Promise<void> {
  let isDead = false;
  const note = (): void => void (isDead = true);
  closed.then(note, note);
  const kill = async (): Promise<void> => {
    // Between two lives there is nothing to kill.
    if (!isDead) await Promise.allSettled([run("docker", ["kill", "-s", "KILL", container])]);
    expect(isDead).toBe(true);
  };
  await vi.waitFor(kill, { timeout: CRASH_MS, interval: 50 });
}
