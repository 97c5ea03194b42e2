/**
 * The daemons of one bundle: which run, their start, reload and stop. Invariant: a daemon gets its own slice of
 * configuration and secrets and nothing of another's, and a failed start leaves none running.
 */
import { messageOf, ProtocolError, UsageError } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import { Secret, type Secrets } from "../base/secret.ts";
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
  readonly onCredentialRefused: (name: DaemonName, slot: string) => void;
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
  secrets: Secrets;
}

/** The daemons that run. */
export class DaemonSet {
  readonly #running = new Map<DaemonName, Running>();
  readonly #options: DaemonSetOptions;
  #turn: Promise<unknown> = Promise.resolve();

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
    const { loaders, audit, signal, logFor, onCredentialRefused } = this.#options;
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
    const secrets = toSecrets(order.secrets);
    const config = daemon.parseConfig(order.config);
    this.#running.set(order.name, { daemon, config: order.config, secrets });
    await daemon.start({
      config,
      secrets,
      door: order.door,
      audit,
      ask: refusingAsk,
      log: logFor(order.name),
      signal,
      onCredentialRefused: (slot) => onCredentialRefused(order.name, slot),
    });
  }

  /** Lays a new configuration, and new values of some slots, over one daemon: both wholly or neither. */
  reload(
    name: DaemonName,
    config: unknown,
    values: Readonly<Record<string, string>> = {},
  ): Promise<Reloaded> {
    return this.#inTurn(() => this.#reload(name, config, values));
  }

  /** One after the other: of two policies the one that was asked for last is in force. */
  #inTurn(work: () => Promise<Reloaded>): Promise<Reloaded> {
    const done = this.#turn.then(work);
    this.#turn = done;
    return done;
  }

  /** Never rejects. */
  async #reload(
    name: DaemonName,
    config: unknown,
    values: Readonly<Record<string, string>>,
  ): Promise<Reloaded> {
    const running = this.#running.get(name);
    if (running === undefined) return { ok: false, message: `${name} does not run` };
    try {
      const secrets = new Map([...running.secrets, ...toSecrets(values)]);
      const reloaded = await running.daemon.reload(running.daemon.parseConfig(config), secrets);
      if (reloaded.ok) Object.assign(running, { config, secrets });
      return reloaded;
    } catch (error) {
      return { ok: false, message: messageOf(error) };
    }
  }

  /** Applies the configuration in force once more, for SIGHUP. */
  async reapply(): Promise<void> {
    for (const [name, running] of this.#running) {
      const reloaded = await this.#inTurn(() => this.#reload(name, running.config, {}));
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

function toSecrets(values: Readonly<Record<string, string>>): ReadonlyMap<string, Secret> {
  return new Map(Object.entries(values).map(([slot, value]) => [slot, new Secret(slot, value)]));
}

function startRank(order: DaemonOrder): number {
  return DAEMON_NAMES.indexOf(order.name);
}
