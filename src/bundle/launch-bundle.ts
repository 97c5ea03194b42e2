/**
 * Runs a bundle for its owner: restarts a process that died, within bounds, and then gives up for good. Invariant: while
 * no process is ready no door accepts, and after giving up no door is left.
 */
import { closeSync, constants, openSync, readlinkSync, rmSync } from "node:fs";
import { join } from "node:path";
import { messageOf, SidecarError, systemCode } from "../base/errors.ts";
import { ignore } from "../base/log.ts";
import type { Secrets } from "../base/secret.ts";
import { findBinary, requireBinary } from "../process/find-binary.ts";
import { coreLimitArgs } from "../process/hard-limits.ts";
import { BUNDLE_PROTOCOL_VERSION, type BundleOrder, type DaemonName } from "../protocol/bundle.ts";
import { type BundleProcess, describeExit, openBundleProcess } from "./bundle-process.ts";
import {
  type BundleContext,
  type BundleHandle,
  type BundleHost,
  type BundlePlan,
  MAX_RESTARTS,
  RESTART_WINDOW_MS,
} from "./contract.ts";
import {
  renderSandbox,
  SANDBOX_PATHS,
  type SandboxFacts,
  SYSTEM_DIRECTORIES,
} from "./render-sandbox.ts";
import { createRestartBudget } from "./restart-budget.ts";

type Configure = Extract<BundleOrder, { kind: "configure" }>;

/** The host `process`: the bundle is our child, inside bubblewrap. */
export function createProcessBundleHost(): BundleHost {
  return { launch: launchProcess };
}

async function launchProcess(plan: BundlePlan, context: BundleContext): Promise<BundleHandle> {
  const argv = renderSandbox(plan, await probeSandbox(context));
  const { O_RDWR, O_CREAT, O_NOFOLLOW } = constants;
  // Bubblewrap binds the file itself, so it has to exist.
  closeSync(openSync(plan.auditFile, O_RDWR | O_CREAT | O_NOFOLLOW, 0o600));
  const configure = buildConfigure(plan, context);
  const open = (order: Configure): Promise<BundleProcess> =>
    openBundleProcess(plan, argv, order, context);
  return new SupervisedBundle(await open(configure), { plan, context, open, configure });
}

/** Looks at what the sandbox depends on. Throws HostError when bubblewrap is missing. */
async function probeSandbox(context: BundleContext): Promise<SandboxFacts> {
  const { searchPath } = context.ports;
  const [bwrapPath, prlimitPath] = await Promise.all([
    requireBinary("bwrap", searchPath),
    findBinary("prlimit", searchPath),
  ]);
  const system = SYSTEM_DIRECTORIES.flatMap((path) => {
    const target = readTopLevel(path);
    return target === "missing" ? [] : [{ path, target }];
  });
  const limitArgs = prlimitPath === undefined ? [] : coreLimitArgs();
  const coreLimit = limitArgs.length === 0 ? [] : [prlimitPath ?? "", ...limitArgs, "--"];
  return { bwrapPath, coreLimit, isRoot: process.getuid?.() === 0, system };
}

/** Target of a link, undefined for a directory, or `missing`. */
function readTopLevel(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch (error) {
    return systemCode(error) === "EINVAL" ? undefined : "missing";
  }
}

/** Puts together the first order. Throws SidecarError when a planned slot has no value. */
function buildConfigure(plan: BundlePlan, context: BundleContext): Configure {
  const daemons = plan.daemons.map((daemon) => ({
    name: daemon.name,
    config: overlaid(daemon.config, context.configOverlay[daemon.name]),
    secrets: Object.fromEntries(
      daemon.secretSlots.map((slot) => [slot, revealSlot(context, slot)]),
    ),
    door: join(SANDBOX_PATHS.doors, daemon.socket),
  }));
  const auditFile = SANDBOX_PATHS.audit;
  return { kind: "configure", version: BUNDLE_PROTOCOL_VERSION, slug: plan.id, auditFile, daemons };
}

function overlaid(
  config: unknown,
  overlay: Readonly<Record<string, unknown>> | undefined,
): unknown {
  return typeof config === "object" && config !== null ? { ...config, ...overlay } : config;
}

function revealSlot(context: BundleContext, slot: string): string {
  const secret = context.secrets.get(slot);
  if (secret !== undefined) return secret.reveal();
  throw new SidecarError("sidecar.start", `bundle needs the secret ${slot}: none was given`);
}

interface Supervision {
  readonly plan: BundlePlan;
  readonly context: BundleContext;
  readonly open: (order: Configure) => Promise<BundleProcess>;
  readonly configure: Configure;
}

class SupervisedBundle implements BundleHandle {
  readonly closed: Promise<void>;
  readonly #closed = Promise.withResolvers<void>();
  readonly #supervision: Supervision;
  readonly #mayRestart: () => boolean;
  #configure: Configure;
  #current: BundleProcess;
  #recovering: Promise<void> | undefined;
  #stopping: Promise<void> | undefined;

  constructor(first: BundleProcess, supervision: Supervision) {
    this.#supervision = supervision;
    this.#configure = supervision.configure;
    this.#current = first;
    this.#mayRestart = createRestartBudget(supervision.context.ports.clock);
    this.closed = this.#closed.promise;
    void ignore(this.closed, "whoever holds the handle sees it too");
    this.#watch(first);
  }

  get pid(): number {
    return this.#current.pid;
  }

  async reload(name: DaemonName, config: unknown): Promise<void> {
    const full = overlaid(config, this.#supervision.context.configOverlay[name]);
    await this.#current.reload(name, full);
    // A restarted process begins with the policy that is in force.
    const daemons = this.#configure.daemons.map((it) =>
      it.name === name ? { ...it, config: full } : it,
    );
    this.#configure = { ...this.#configure, daemons };
  }

  async renew(name: DaemonName, secrets: Secrets): Promise<void> {
    const values = Object.fromEntries([...secrets].map(([slot, it]) => [slot, it.reveal()]));
    const renewed = this.#configure.daemons.map((it) =>
      it.name === name ? { ...it, secrets: { ...it.secrets, ...values } } : it,
    );
    const config = renewed.find((it) => it.name === name)?.config;
    // A process that is just being restarted begins with the new values; one that runs is given them.
    this.#configure = { ...this.#configure, daemons: renewed };
    await this.#current.reload(name, config, values);
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    await this.#current.stop();
    await this.#recovering;
    this.#removeDoors();
    this.#closed.resolve();
  }

  #watch(process: BundleProcess): void {
    void process.exited.then((status) => {
      if (this.#stopping === undefined) this.#recovering = this.#recover(describeExit(status));
    });
  }

  /** Starts a new process until one is ready or the budget is spent. */
  async #recover(reason: string): Promise<void> {
    if (!this.#mayRestart()) {
      this.#giveUp(reason);
      return;
    }
    this.#supervision.context.onRestart(reason);
    try {
      const next = await this.#supervision.open(this.#configure);
      this.#current = next;
      if (this.#stopping === undefined) this.#watch(next);
      else await next.stop();
    } catch (error) {
      if (this.#stopping === undefined) await this.#recover(messageOf(error));
    }
  }

  #giveUp(reason: string): void {
    this.#removeDoors();
    const limit = `${MAX_RESTARTS} restarts in ${RESTART_WINDOW_MS / 1000} s`;
    this.#closed.reject(
      new SidecarError(
        "sidecar.died",
        `bundle died for good: ${reason}; at most ${limit} are made`,
        {
          hint: `read ${this.#supervision.plan.logFile}`,
        },
      ),
    );
  }

  #removeDoors(): void {
    const { plan } = this.#supervision;
    for (const daemon of plan.daemons) rmSync(join(plan.doorsDir, daemon.socket), { force: true });
  }
}
