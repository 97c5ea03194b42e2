/**
 * Keeps a bundle alive for its owner, whatever runs it: a life that died is followed by another, within bounds, and then the
 * bundle is given up for good. Invariant: while no life is ready no door accepts, and after giving up no door is left.
 */

import type { AttachmentValues } from "../backends/contract.ts";
import { messageOf, SidecarError } from "../base/errors.ts";
import { ignore } from "../base/log.ts";
import type { Secrets } from "../base/secret.ts";
import { BUNDLE_PROTOCOL_VERSION, type BundleOrder, type DaemonName } from "../protocol/bundle.ts";
import {
  type BundleCarrier,
  type BundleLink,
  describeExit,
  openBundleLink,
} from "./bundle-link.ts";
import {
  type BundleContext,
  type BundleHandle,
  type BundlePlan,
  type DaemonPlan,
  MAX_RESTARTS,
  RESTART_WINDOW_MS,
} from "./contract.ts";
import { logHint } from "./log-tail.ts";
import { createRestartBudget } from "./restart-budget.ts";

type Configure = Extract<BundleOrder, { kind: "configure" }>;

/** What one host adds to the supervision of its bundle. */
export interface Supervision {
  readonly plan: BundlePlan;
  readonly context: BundleContext;
  /** Starts one life; its order is the policy in force. */
  readonly start: () => Promise<BundleCarrier>;
  /** Removes what the bundle leaves behind, after the last life; may be called again. */
  readonly clear: () => Promise<void> | void;
  /** Gives up what was held for starting and clearing, once, at the very end. */
  readonly release?: () => void;
  /**
   * Given where what is cleared is an engine's and no door: whoever closes the bundle does not wait for it. Told when the bundle
   * begins to stop; `gone` settles when all is cleared.
   */
  readonly onClearingLate?: (gone: Promise<void>) => void;
  /** Where things are for the bundle. */
  readonly places: BundlePlaces;
  readonly attachment?: AttachmentValues;
}

/** Paths and doors as the bundle sees them. */
export interface BundlePlaces {
  readonly auditFile: string;
  readonly doorOf: (daemon: DaemonPlan) => string;
}

/** Starts a bundle's first life and keeps it alive; resolves when every door accepts. */
export async function superviseBundle(supervision: Supervision): Promise<BundleHandle> {
  const { plan, context, places } = supervision;
  const configure = buildConfigure(plan, context, places);
  return new SupervisedBundle(await openLife(supervision, configure), supervision, configure);
}

async function openLife(
  { plan, context, start }: Supervision,
  configure: Configure,
): Promise<BundleLink> {
  return openBundleLink(plan, await start(), configure, context);
}

class SupervisedBundle implements BundleHandle {
  readonly closed: Promise<void>;
  readonly gone: Promise<void>;
  readonly attachment?: AttachmentValues;
  readonly #closed = Promise.withResolvers<void>();
  readonly #gone = Promise.withResolvers<void>();
  readonly #supervision: Supervision;
  readonly #mayRestart: () => boolean;
  #configure: Configure;
  #current: BundleLink;
  #recovering: Promise<void> | undefined;
  #stopping: Promise<void> | undefined;

  constructor(first: BundleLink, supervision: Supervision, configure: Configure) {
    this.#supervision = supervision;
    this.#configure = configure;
    if (supervision.attachment !== undefined) this.attachment = supervision.attachment;
    this.#current = first;
    this.#mayRestart = createRestartBudget(supervision.context.ports.clock);
    this.closed = this.#closed.promise;
    void ignore(this.closed, "whoever holds the handle sees it too");
    this.gone = this.#gone.promise;
    void ignore(this.gone, "whoever holds the handle sees it too");
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
    this.#supervision.context.onReloaded?.(name, full);
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
    const { onClearingLate } = this.#supervision;
    onClearingLate?.(this.gone);
    try {
      const { gone } = await this.#current.stop();
      await this.#recovering;
      this.#gone.resolve(this.#clear(gone));
    } catch (error) {
      this.#gone.reject(error);
      throw error;
    }
    if (onClearingLate === undefined) await this.gone;
    this.#closed.resolve();
  }

  async #clear(gone: Promise<unknown>): Promise<void> {
    await gone;
    await this.#supervision.clear();
    this.#supervision.release?.();
  }

  #watch(process: BundleLink): void {
    void process.exited.then((status) => {
      if (this.#stopping === undefined) this.#recovering = this.#recover(describeExit(status));
    });
  }

  /** Starts a new process until one is ready or the budget is spent. */
  async #recover(reason: string): Promise<void> {
    if (!this.#mayRestart()) {
      return this.#giveUp(reason);
    }
    this.#supervision.context.onRestart(reason);
    try {
      const next = await openLife(this.#supervision, this.#configure);
      this.#current = next;
      if (this.#stopping === undefined) this.#watch(next);
      else await (await next.stop()).gone;
    } catch (error) {
      if (this.#stopping === undefined) await this.#recover(messageOf(error));
    }
  }

  async #giveUp(reason: string): Promise<void> {
    await ignore(
      Promise.resolve(this.#supervision.clear()),
      "the bottle closes for a graver reason",
      this.#supervision.context.ports.log,
    );
    const limit = `${MAX_RESTARTS} restarts in ${RESTART_WINDOW_MS / 1000} s`;
    this.#closed.reject(
      new SidecarError(
        "sidecar.died",
        `bundle died for good: ${reason}; at most ${limit} are made`,
        {
          hint: logHint(this.#supervision.plan.logFile),
        },
      ),
    );
  }
}

/** Puts together the first order. Throws SidecarError when a planned slot has no value. */
function buildConfigure(
  plan: BundlePlan,
  context: BundleContext,
  { auditFile, doorOf }: BundlePlaces,
): Configure {
  const daemons = plan.daemons.map((daemon) => ({
    name: daemon.name,
    config: overlaid(daemon.config, context.configOverlay[daemon.name]),
    secrets: Object.fromEntries(
      daemon.secretSlots.map((slot) => [slot, revealSlot(context, slot)]),
    ),
    door: doorOf(daemon),
  }));
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
