/** What a launch on the container engine would lack, found by asking the engine alone. */
import { BottleError, messageOf } from "../../base/errors.ts";
import type { Engine } from "../../engine/contract.ts";
import { openEngine } from "../../engine/engine.ts";
import { findBuildFaults } from "../../images/build-faults.ts";
import type { BackendPorts, GuestPlan, Shortage } from "../contract.ts";
import { runtimeHint } from "./runtime.ts";

/** Asks the engine for the runtime and the image. */
export async function lookAtDocker(
  plan: GuestPlan,
  ports: BackendPorts,
): Promise<readonly Shortage[]> {
  try {
    using engine = await openEngine(ports.env);
    return [...(await lookAtRuntime(engine, plan)), ...(await lookAtImage(engine, plan, ports))];
  } catch (error) {
    if (!(error instanceof BottleError)) throw error;
    return [{ what: messageOf(error), hint: error.hint }];
  }
}

async function lookAtRuntime(engine: Engine, { runtime }: GuestPlan): Promise<readonly Shortage[]> {
  const info = await engine.info();
  if (runtime === undefined || info.Runtimes[runtime] !== undefined) return [];
  const what = `runtime ${runtime} is not registered with the container engine`;
  return [{ what, hint: runtimeHint(runtime, info) }];
}

async function lookAtImage(
  engine: Engine,
  { image }: GuestPlan,
  { env, onSkipped }: BackendPorts,
): Promise<readonly Shortage[]> {
  if (image === undefined) return [];
  if (image.kind === "reference") {
    const { reference } = image;
    if ((await engine.images.inspect(reference)) !== undefined) return [];
    const what = `image "${reference}" was not found on the container engine`;
    return [{ what, hint: `docker pull ${reference}` }];
  }
  const isThere =
    image.kind === "provider" && (await engine.images.inspect(image.tag)) !== undefined;
  if (!isThere)
    onSkipped?.(`image ${image.tag} is built, unless there is a build of the same content`);
  return findBuildFaults(env);
}
