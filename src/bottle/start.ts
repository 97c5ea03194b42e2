/** From what the operator asked to a running bottle: load, plan, sweep what dead owners left, launch. */
import type {
  Backend,
  BackendName,
  BackendPorts,
  BackendSurvey,
  Shortage,
} from "../backends/contract.ts";
import { openBackend, strongestBackend } from "../backends/registry.ts";
import { systemClock } from "../base/clock.ts";
import { HostError, messageOf } from "../base/errors.ts";
import type { HostPath } from "../base/ids.ts";
import { type Logger, silentLogger } from "../base/log.ts";
import type { HomePaths } from "../base/paths.ts";
import type { Secrets } from "../base/secret.ts";
import type { BundleHost } from "../bundle/contract.ts";
import { loadManifest } from "../manifest/load.ts";
import type { Manifest } from "../manifest/types.ts";
import type { Exec } from "../process/exec.ts";
import { createExec } from "../process/spawn.ts";
import type { Bottle } from "./bottle.ts";
import type { EventHub } from "./events.ts";
import { readFacts } from "./facts.ts";
import type { GuestStdio, LaunchPorts } from "./launch.ts";
import { launchWhereFree } from "./move-network.ts";
import { findOrphansOf, removeOrphanObject } from "./orphans.ts";
import type { BottlePlan, Facts, StartOptions } from "./plan.ts";
import { previewStart, type StartPreview } from "./preview.ts";
import { findLeftovers, findOrphanRuns, isBeingRemoved, reap, removeOrphanRun } from "./reap.ts";
import { requireTrust } from "./require-trust.ts";
import { resolvePlan } from "./resolve-plan.ts";
import { resolveSecrets, type SecretPorts } from "./secrets.ts";
import type { StepObserver } from "./steps.ts";

/** Where the operator stands and what the operator's environment is. */
export interface OperatorPlace {
  readonly home: HomePaths;
  readonly userHome: HostPath;
  readonly cwd: HostPath;
  readonly env: Readonly<Record<string, string | undefined>>;
}

export interface PlanRequest extends OperatorPlace {
  readonly agent: string;
  /** Bottle files chosen at launch, merged in order; empty means the agent's own. */
  readonly bottles: readonly string[];
  readonly options: StartOptions;
  readonly hasTerminal: boolean;
  /** Nothing is started, made or kept, not even a probe: what the start would lack or try out comes as `preview`. */
  readonly looksOnly?: boolean;
  /** Asks whether a repository's agent may use a bottle of the operator's; without it such an agent is refused. */
  readonly confirm?: (question: string) => Promise<boolean>;
}

export interface PlannedStart {
  readonly manifest: Manifest;
  readonly facts: Facts;
  readonly plan: BottlePlan;
  /** Only where the request `looksOnly`. */
  readonly preview?: StartPreview;
}

/** Loads the manifest, reads the facts and resolves the plan. Reads only. */
export async function planStart(request: PlanRequest): Promise<PlannedStart> {
  const manifest = await loadManifest({
    home: request.home,
    cwd: request.cwd,
    userHome: request.userHome,
    agentName: request.agent,
    bottleNames: request.bottles,
  });
  await requireTrust(manifest, {
    home: request.home,
    namedBottles: request.bottles,
    confirm: request.confirm,
  });
  const skipped: string[] = [];
  const ports = planPorts(request, (what) => skipped.push(what));
  const defaultBackend = await chooseBackend(manifest, request, ports);
  const shortages: Shortage[] = [];
  const onShort = request.looksOnly === true ? (it: Shortage) => shortages.push(it) : undefined;
  const surveyed = await survey(manifest, request, { ports, onShort, name: defaultBackend });
  const facts = await readFacts({
    home: request.home,
    userHome: request.userHome,
    userCwd: request.cwd,
    env: request.env,
    manifest,
    hasTerminal: request.hasTerminal,
    defaultBackend,
    survey: surveyed,
  });
  const plan = resolvePlan(manifest, facts, request.options);
  if (request.looksOnly !== true) return { manifest, facts, plan };
  const input = { ports, skipped, shortages };
  const preview = await previewStart(plan, await openBackend(plan.backend), input);
  return { manifest, facts, plan, preview };
}

/** What the operator or the bottle chose, else the strongest that works here; undefined when none does. */
async function chooseBackend(
  { bottle }: Manifest,
  request: PlanRequest,
  ports: BackendPorts,
): Promise<BackendName | undefined> {
  return request.options.backend ?? bottle.backend ?? strongestBackend(ports);
}

interface SurveyInput {
  readonly ports: BackendPorts;
  readonly name: BackendName | undefined;
  /** Told what is missing instead of an error. */
  readonly onShort: ((shortage: Shortage) => void) | undefined;
}

async function survey(
  { bottle }: Manifest,
  request: PlanRequest,
  { ports, onShort, name }: SurveyInput,
): Promise<BackendSurvey | undefined> {
  if (name === undefined || name === "fake" || name === "bubblewrap") return undefined;
  const backend = await openBackend(name);
  const { attachment, runtime } = bottle;
  const asked = { attachment, runtime, cacheDir: request.home.cache };
  try {
    return await backend.survey?.(asked, ports);
  } catch (error) {
    if (onShort === undefined || !(error instanceof HostError)) throw error;
    onShort({ what: error.message, hint: error.hint });
    return { attachment: attachment === "auto" ? "sockets" : attachment, takenSubnets: [] };
  }
}

function planPorts(
  { env, looksOnly }: PlanRequest,
  onSkipped: (what: string) => void,
): BackendPorts {
  const log = silentLogger;
  return {
    exec: createExec({ log }),
    clock: systemClock,
    log,
    searchPath: env["PATH"] ?? "",
    env,
    onSkipped: looksOnly === true ? onSkipped : undefined,
  };
}

export interface OpenOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly log?: Logger;
  readonly exec?: Exec;
  /** Asks for a `?` variable; undefined without a terminal. */
  readonly prompt?: SecretPorts["prompt"];
  readonly signal?: AbortSignal;
  readonly stdio?: GuestStdio | Promise<GuestStdio>;
  readonly onStep?: StepObserver;
  readonly events?: EventHub;
  /** Replace the real ones, for tests: see `bot-bottle/testing`. */
  readonly backend?: Backend;
  readonly bundleHost?: BundleHost;
  /** Already resolved, when they were asked for before the preflight. */
  readonly secrets?: Secrets;
}

/** Loaded while the guest starts: it needs its processor more than we do. */
const bundleHosts: Readonly<Record<BottlePlan["bundle"]["host"], BundleHost>> = {
  process: {
    launch: async (plan, context) => {
      const { createProcessBundleHost } = await import("../bundle/launch-bundle.ts");
      return createProcessBundleHost().launch(plan, context);
    },
  },
  container: {
    launch: async (plan, context) => {
      const { createContainerBundleHost } = await import("../bundle/launch-container.ts");
      return createContainerBundleHost().launch(plan, context);
    },
  },
};

/** Launches a plan, and meanwhile sweeps what dead owners of the same kind left. Throws as `launch` does. */
export async function openBottle(plan: BottlePlan, options: OpenOptions): Promise<Bottle> {
  const log = options.log ?? silentLogger;
  const exec = options.exec ?? createExec({ log });
  const ports: LaunchPorts = {
    exec,
    clock: systemClock,
    log,
    searchPath: options.env["PATH"] ?? "",
    env: options.env,
    backend: options.backend ?? (await openBackend(plan.backend)),
    bundleHost: options.bundleHost ?? bundleHosts[plan.bundle.host],
  };
  const secrets =
    options.secrets ??
    (await resolveSecrets(plan.secrets, { exec, env: options.env, prompt: options.prompt }));
  const launching = launchWhereFree(plan, {
    ports,
    secrets,
    signal: options.signal,
    ...(options.stdio === undefined ? {} : { stdio: options.stdio }),
    ...(options.onStep === undefined ? {} : { onStep: options.onStep }),
    ...(options.events === undefined ? {} : { events: options.events }),
  });
  const [bottle] = await Promise.all([launching, sweep(plan, ports)]);
  return bottle;
}

/** Reaps the dead owners of this backend. What cannot be reaped never stops a launch nor the rest: `cleanup` says more. */
async function sweep(plan: BottlePlan, ports: LaunchPorts): Promise<void> {
  const attempt = async (name: string, work: Promise<unknown>): Promise<void> => {
    try {
      await work;
    } catch (error) {
      ports.log.warn("sweep failed", { name, error: messageOf(error) });
    }
  };
  const sweepLeftovers = async (): Promise<void> => {
    for (const item of await findLeftovers(plan.home)) {
      const isOurs = item.backend === plan.backend || item.backend === "";
      if (isOurs && !isBeingRemoved(item.name))
        await attempt(item.name, reap(item, plan.home, ports, ports.backend));
    }
  };
  const sweepRuns = async (): Promise<void> => {
    for (const directory of await findOrphanRuns(plan.home))
      await attempt(directory, removeOrphanRun(directory));
  };
  const sweepEngine = async (): Promise<void> => {
    if (ports.backend.findObjects === undefined) return;
    for (const orphan of await findOrphansOf(ports.backend, plan.home, ports))
      await attempt(orphan.object.name, removeOrphanObject(orphan, ports));
  };
  await attempt("state", sweepLeftovers());
  await attempt("run", sweepRuns());
  await attempt("engine", sweepEngine());
}
