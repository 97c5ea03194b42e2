/** The egress daemon: the guest's only way to the world, and the place where policy is enforced. */
import { type Clock, systemClock } from "../../base/clock.ts";
import { BugError, messageOf } from "../../base/errors.ts";
import type { Secrets } from "../../base/secret.ts";
import type { EgressConfig } from "../../policy/egress.ts";
import { type Door, parseDoor } from "../../protocol/door.ts";
import type { Daemon, DaemonContext, Reloaded } from "../descriptor.ts";
import { createBufferBudget } from "./body.ts";
import { createBudgets } from "./budget.ts";
import { parseEgressConfig } from "./config.ts";
import type { Services } from "./context.ts";
import { InForce } from "./in-force.ts";
import { type Lookup, systemLookup } from "./locate.ts";
import { createProxyServer, type ProxyServer } from "./proxy-server.ts";
import { createState, type HeldSecrets, replaceSecrets, warmState } from "./state.ts";

/** What tests replace: the resolver and the clock. */
export interface EgressPorts {
  readonly lookup?: Lookup;
  readonly clock?: Clock;
}

/** Time after which what the first request needs is loaded in advance: not while the guest starts on the same processors. */
const WARM_AFTER_MS = 250;
/** How often the owner is told that one value was refused. */
const REPORT_EVERY_MS = 2_000;

interface Running {
  readonly context: DaemonContext<EgressConfig>;
  readonly server: ProxyServer;
  readonly inForce: InForce;
  secrets: HeldSecrets;
}

/** Makes the daemon. */
export function createEgress(ports: EgressPorts = {}): Daemon<EgressConfig> {
  const { lookup = systemLookup, clock = systemClock } = ports;
  let running: Running | undefined;
  return {
    name: "egress",
    parseConfig: parseEgressConfig,
    start: async (context) => {
      if (running !== undefined) throw new BugError("egress was started twice");
      const door = parseDoor(context.door);
      running = open(context, { lookup, clock, door });
      await running.server.listen(door);
      sayLoaded(context, context.config);
    },
    health: () => {
      const isHealthy = running?.server.isListening === true;
      return Promise.resolve({ isHealthy, detail: isHealthy ? "accepting" : "not listening" });
    },
    reload: (next, secrets) => reload(running, { next, secrets, clock }),
    stop: async (deadlineMs) => {
      await running?.server.stop(deadlineMs);
    },
  };
}

function open(
  context: DaemonContext<EgressConfig>,
  { lookup, clock, door }: Required<EgressPorts> & { readonly door: Door },
): Running {
  const secrets: HeldSecrets = { values: context.secrets, retired: [] };
  const first = createState(context.config, secrets, clock);
  const inForce = new InForce(first);
  const { audit, log } = context;
  const services: Services = {
    audit,
    log,
    lookup,
    ownListeners: door.kind === "tcp" ? [door] : [],
    buffers: createBufferBudget(),
    budgets: createBudgets(),
    ask: context.ask,
    inForce,
    onCredentialRefused: refusalReporter(context, () => inForce.state.config, clock),
  };
  const server = createProxyServer({
    services,
    onFault: (error) => {
      throw error;
    },
  });
  // The door accepts before TLS is loaded; a fault found here ends the bundle like any other.
  setTimeout(() => void warmState(first), WARM_AFTER_MS).unref();
  return { context, server, inForce, secrets };
}

/** Tells the owner of a refused value that it can read anew; an agent that tries again and again tells nothing new. */
function refusalReporter(
  context: DaemonContext<EgressConfig>,
  config: () => EgressConfig,
  clock: Clock,
): Services["onCredentialRefused"] {
  const told = new Map<string, number>();
  return (slot) => {
    const now = clock.monotonic();
    const isRenewable = config().renewableSlots?.includes(slot) === true;
    if (!isRenewable || now - (told.get(slot) ?? -REPORT_EVERY_MS) < REPORT_EVERY_MS) return;
    told.set(slot, now);
    context.onCredentialRefused?.(slot);
  };
}

interface Reload {
  readonly next: EgressConfig;
  readonly secrets: Secrets | undefined;
  readonly clock: Clock;
}

/** Everything new is made before anything old is let go; what is being sent keeps the state that let it out. */
async function reload(
  running: Running | undefined,
  { next, secrets, clock }: Reload,
): Promise<Reloaded> {
  if (running === undefined) return { ok: false, message: "egress does not run" };
  try {
    const held = secrets === undefined ? running.secrets : replaceSecrets(running.secrets, secrets);
    const state = createState(next, held, clock);
    await warmState(state);
    running.secrets = held;
    running.inForce.swap(state);
    sayLoaded(running.context, next);
    return { ok: true };
  } catch (error) {
    return { ok: false, message: messageOf(error) };
  }
}

const LEVELS = { 0: "off", 1: "blocks", 2: "full" } as const;

function sayLoaded({ log }: DaemonContext<EgressConfig>, config: EgressConfig): void {
  const hosts = config.policy.routes.map((route) => route.host);
  const level = LEVELS[config.logLevel];
  log.info(`egress: loaded ${hosts.length} route(s): ${hosts.join(", ")} [log=${level}]`);
}
