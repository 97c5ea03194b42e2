/**
 * Launches a guest: image, runtime, files, container, first connection. Whatever is made is removed again when a later step
 * fails, and its name is recorded before it exists.
 */
import { BugError, LaunchError } from "../../base/errors.ts";
import { HOME_LABEL } from "../../base/labels.ts";
import { ignore } from "../../base/log.ts";
import { Scope } from "../../base/scope.ts";
import type { ContainerBody, Engine, ExecBody } from "../../engine/contract.ts";
import { openEngine } from "../../engine/engine.ts";
import { engineStatus } from "../../engine/failure.ts";
import type { EngineInfo } from "../../engine/schemas.ts";
import { ensureImage } from "../../images/ensure-image.ts";
import { ownershipLabels } from "../../process/ownership.ts";
import type { Guest, GuestPlan, GuestResources, LaunchContext } from "../contract.ts";
import { prepareEtcFiles } from "./etc-files.ts";
import { DockerGuest } from "./guest.ts";
import { mergeEnv } from "./guest-env.ts";
import { imageObjects, releaseName } from "./image-name.ts";
import { findImageNode } from "./image-node.ts";
import { adviseLimits, chooseLimits, ownTasks } from "./limits.ts";
import { prepareMountPoints } from "./mount-points.ts";
import { guestContainer, isGuest } from "./names.ts";
import { CONTAINER_KIND, removeOurs } from "./reap.ts";
import { findVolumes, renderContainer, renderInit } from "./render.ts";
import { chooseRuntime, GVISOR } from "./runtime.ts";
import { type RunningContainer, startContainer } from "./start-container.ts";

const NAME_TAKEN = 409;
/** Time for a guest of the same name that was killed a moment ago. */
const LEAVING_MS = 2_000;

/** Creates and starts the guest. Throws HostError or LaunchError; nothing is left behind then. */
export async function launchDocker(plan: GuestPlan, context: LaunchContext): Promise<Guest> {
  try {
    return await launchGuest(plan, context);
  } catch (error) {
    throw adviseLimits(error, plan.limits);
  }
}

async function launchGuest(plan: GuestPlan, context: LaunchContext): Promise<Guest> {
  await using scope = new Scope({ clock: context.ports.clock });
  const { signal } = context;
  const engine = scope.use("engine", await openEngine(context.ports.env, { signal }));
  const name = guestContainer(plan.id);
  const images = imageObjects(plan);
  let resources: GuestResources = { processes: [], cgroups: [], objects: images };
  if (Object.keys(images).length > 0) await context.onResources(resources);
  const release = { engine, log: context.ports.log, container: undefined };
  scope.defer("image name", () => releaseName(plan, release));
  const prepared = await prepare(engine, plan, context);
  const { body } = prepared;
  resources = { ...resources, objects: { [CONTAINER_KIND]: [name], ...images } };
  await context.onResources(resources);
  const container = await create(engine, name, { body, signal });
  scope.defer("container", () =>
    ignore(engine.containers.remove(container), "it removes itself when it ends"),
  );
  // A container may name a network that is only being made; it cannot be started before.
  await context.network;
  const running = await startContainer(engine, { container, plan, context, ...prepared });
  scope.defer("connection", () => {
    running.link.destroy();
    running.lease.destroy();
  });
  if (running.first !== undefined) {
    resources = { ...resources, processes: [running.first] };
    await context.onResources(resources);
  }
  const guest = guestOf(running, { plan, context, engine, container, resources, ...prepared });
  scope.move();
  return guest;
}

/** What the machine and the plan decide before the container is made. */
interface Prepared {
  readonly body: ContainerBody;
  readonly init: ExecBody;
  readonly info: EngineInfo;
  readonly runtime: string;
  readonly uid: number;
  readonly env: Readonly<Record<string, string>>;
}

async function prepare(engine: Engine, plan: GuestPlan, context: LaunchContext): Promise<Prepared> {
  const { signal, ports, onProgress } = context;
  const { attachment, cacheDir, nodePath } = plan;
  if (plan.image === undefined) throw new BugError("a guest in a container needs an image");
  const [uid, gid] = ownerOf(plan);
  const [image, info] = await Promise.all([
    ensureImage(plan.image, { engine, env: ports.env, signal, onProgress }),
    engine.info({ signal }),
  ]);
  chooseLimits(plan.limits, info, plan.runtime ?? info.DefaultRuntime);
  const { id, reference } = image;
  const [node, runtime] = await Promise.all([
    findImageNode(engine, { image: id, reference, nodePath, cacheDir, signal }),
    chooseRuntime({ engine, info, asked: plan.runtime, attachment, cacheDir, signal }),
  ]);
  prepareMountPoints(plan, uid, gid);
  const etcFiles = prepareEtcFiles(plan, uid, gid);
  const ownership = ownershipLabels(cacheDir);
  const used = runtime ?? info.DefaultRuntime;
  const facts = { image: id, node, runtime, uid, gid, etcFiles, ownership };
  const body = renderContainer(plan, { ...facts, ownTasks: ownTasks(used) });
  refuseVolumes(reference, findVolumes(image.volumes, body.HostConfig));
  return {
    body,
    init: renderInit(facts),
    info,
    runtime: used,
    uid,
    env: mergeEnv(image.env, context.guestEnv),
  };
}

function refuseVolumes(reference: string, volumes: readonly string[]): void {
  if (volumes.length === 0) return;
  const seen = `image "${reference}" declares VOLUME ${volumes.join(", ")}`;
  const why = "the guest could fill the engine's disk there; an image without is expected";
  throw new LaunchError("launch.image", `${seen}: ${why}`, {
    hint: "take VOLUME out of its Dockerfile, or build on a base that has none; see docs/images.md",
  });
}

/** The guest's uid is the host's: nothing maps one to the other, so that its files belong to the operator. */
function ownerOf(plan: GuestPlan): readonly [uid: number, gid: number] {
  const uid = plan.hostUid ?? process.getuid?.() ?? 0;
  const gid = plan.hostUid ?? process.getgid?.() ?? 0;
  if (uid !== 0) return [uid, gid];
  throw new BugError("a guest in a container needs a uid that is not root's");
}

interface CreateInput {
  readonly body: ContainerBody;
  readonly signal: AbortSignal | undefined;
}

/** Creates the container; one of ours that is on its way out gives the name up. */
async function create(
  engine: Engine,
  name: string,
  { body, signal }: CreateInput,
): Promise<string> {
  try {
    return await engine.containers.create(name, body, { signal });
  } catch (error) {
    if (engineStatus(error) !== NAME_TAKEN) throw error;
    const found = await engine.containers.inspect(name);
    if (found !== undefined && isGuest(found.Config.Labels))
      await ignore(leaving(engine, name), "it does not end: then the name is taken");
    if (!(await isFree(engine, name, body.Labels?.[HOME_LABEL]))) throw nameTaken(name, error);
    // The engine may be removing it already, in its own time.
    const removed = engine.containers.wait(name, "removed", { timeoutMs: LEAVING_MS });
    await ignore(removed, "it is gone already");
    return engine.containers.create(name, body, { signal });
  }
}

/** Its end may not have come to the engine's ears yet. */
function leaving(engine: Engine, name: string): Promise<number> {
  return engine.containers.wait(name, "not-running", { timeoutMs: LEAVING_MS });
}

async function isFree(engine: Engine, name: string, homeId: string | undefined): Promise<boolean> {
  const found = await engine.containers.inspect(name);
  return found === undefined || (!found.State.Running && (await removeOurs(engine, name, homeId)));
}

function nameTaken(name: string, cause: unknown): LaunchError {
  return new LaunchError("launch.name-taken", `container "${name}" exists already`, {
    cause,
    hint: `run bot-bottle cleanup, or docker rm -f ${name} if it is not a bottle's`,
  });
}

interface GuestInput extends Prepared {
  readonly plan: GuestPlan;
  readonly context: LaunchContext;
  readonly engine: Engine;
  readonly container: string;
  readonly resources: GuestResources;
}

function guestOf(running: RunningContainer, input: GuestInput): Guest {
  const { plan, info, runtime } = input;
  return new DockerGuest({
    ...input,
    ...running,
    sharesKernelApi: runtime !== GVISOR,
    limits: chooseLimits(plan.limits, info, runtime),
  });
}
