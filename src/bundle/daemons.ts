/**
 * The daemons of one bundle: which run, their start, reload and stop. Invariant: a daemon gets its own slice of
 * configuration and secrets and nothing of another's, and a failed start leaves none running.
 */
import { messageOf, ProtocolError, UsageError } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import { Secret } from "../base/secret.ts";
import { type BundleOrder, DAEMON_NAMES, type DaemonName } from "../protocol/bundle.ts";
import type { Ask, Audit, Daemon, Reloaded } from "../sidecars/descriptor.ts";

/** A daemon's part of the `configure` order. */
export type DaemonOrder = Extract<BundleOrder, { kind: "configure" }>["daemons"][number];

/** How each daemon that this build has is loaded. */
export type DaemonLoaders = Readonly<Partial<Record<DaemonName, () => Promise<Daemon<unknown>>>>>;

export interface DaemonSetOptions {
  readonly loaders: DaemonLoaders;
  readonly audit: Audit;
  readonly signal: AbortSignal;
  readonly logFor: (name: DaemonName) => Logger;
}

/** Until an operator can be asked, everything is refused. */
export const refusingAsk: Ask = { ask: () => Promise.resolve("refused") };

/**
 * Chooses from the configured daemons by the value of BOT_BOTTLE_SIDECAR_DAEMONS: unset means all of them, an empty list
 * none. Throws UsageError at a name that is unknown or not configured.
 */
export function selectDaemons(
  configured: readonly DaemonOrder[],
  selection: string | undefined,
): readonly DaemonOrder[] {
  if (selection === undefined) return configured;
  const names = selection
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "");
  for (const name of names) {
    const isKnown = DAEMON_NAMES.some((known) => known === name);
    if (isKnown && configured.some((it) => it.name === name)) continue;
    const what = isKnown ? "is not configured for this bottle" : "is not a daemon";
    throw new UsageError(
      "usage.invalid",
      `BOT_BOTTLE_SIDECAR_DAEMONS: "${name.slice(0, 40)}" ${what}; expected some of ${DAEMON_NAMES.join(", ")}`,
      { hint: "unset BOT_BOTTLE_SIDECAR_DAEMONS to run all daemons of the bottle" },
    );
  }
  return configured.filter((it) => names.includes(it.name));
}

interface Running {
  readonly daemon: Daemon<unknown>;
  /** The configuration in force, for a reload without a new one. */
  config: unknown;
}

/** The daemons that run. */
export class DaemonSet {
  readonly #running = new Map<DaemonName, Running>();
  readonly #options: DaemonSetOptions;

  constructor(options: DaemonSetOptions) {
    this.#options = options;
  }

  /** Starts the daemons in order, egress first. Throws what the first failing start threw, with its name in front. */
  async start(orders: readonly DaemonOrder[]): Promise<readonly DaemonName[]> {
    const egressFirst = orders.toSorted((a, b) => startRank(a) - startRank(b));
    for (const order of egressFirst) await this.#startOne(order);
    return egressFirst.map((order) => order.name);
  }

  async #startOne(order: DaemonOrder): Promise<void> {
    const { loaders, audit, signal, logFor } = this.#options;
    const load = loaders[order.name];
    if (load === undefined) {
      throw new ProtocolError("protocol.message", `${order.name}: this bundle has no such daemon`);
    }
    if (this.#running.has(order.name)) {
      throw new ProtocolError(
        "protocol.message",
        `${order.name}: configured twice; once is expected`,
      );
    }
    const daemon = await load();
    const secrets = new Map(
      Object.entries(order.secrets).map(([slot, value]) => [slot, new Secret(slot, value)]),
    );
    const config = daemon.parseConfig(order.config);
    this.#running.set(order.name, { daemon, config: order.config });
    const log = logFor(order.name);
    await daemon.start({ config, secrets, door: order.door, audit, ask: refusingAsk, log, signal });
  }

  /** Lays a new configuration over one daemon: the new policy wholly or the old one. */
  async reload(name: DaemonName, config: unknown): Promise<Reloaded> {
    const running = this.#running.get(name);
    if (running === undefined) return { ok: false, message: `${name} does not run` };
    try {
      const reloaded = await running.daemon.reload(running.daemon.parseConfig(config));
      if (reloaded.ok) running.config = config;
      return reloaded;
    } catch (error) {
      return { ok: false, message: messageOf(error) };
    }
  }

  /** Applies the configuration in force once more, for SIGHUP. */
  async reapply(): Promise<void> {
    for (const [name, running] of this.#running) {
      const reloaded = await this.reload(name, running.config);
      const log = this.#options.logFor(name);
      if (reloaded.ok) log.info("reloaded");
      else log.error("reload failed, the old policy stays", { error: reloaded.message });
    }
  }

  /** Stops all daemons, at the same time. Failures are logged: each has its own deadline. */
  async stop(deadlineMs: number): Promise<void> {
    const stops = [...this.#running].map(async ([name, { daemon }]) => {
      try {
        await daemon.stop(deadlineMs);
      } catch (error) {
        this.#options.logFor(name).error("stop failed", { error: messageOf(error) });
      }
    });
    await Promise.all(stops);
  }
}

function startRank(order: DaemonOrder): number {
  return DAEMON_NAMES.indexOf(order.name);
}
