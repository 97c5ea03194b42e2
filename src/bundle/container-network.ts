/**
 * The networks of a bundle in a container. Making and removing them may be repeated: what is there already is taken when it
 * is this bottle's and as planned, what is missing was removed.
 */
import { closeSync, openSync, writeSync } from "node:fs";
import { LaunchError, messageOf, systemCode } from "../base/errors.ts";
import { BOTTLE_LABEL, HOME_LABEL, OWNER_LABEL } from "../base/labels.ts";
import { ignore } from "../base/log.ts";
import type { Engine, Labels, NetworkBody } from "../engine/contract.ts";
import { engineStatus } from "../engine/failure.ts";
import type { NetworkInspect } from "../engine/schemas.ts";
import { type Owner, ownerState, readOwner } from "../process/identity.ts";
import { readOwnerLabel } from "../process/ownership.ts";
import type { BundlePorts } from "./contract.ts";

const CONFLICT = 409;
const FORBIDDEN = 403;
/** Another process makes the same network: its name and subnet are taken before it can be found, on a busy engine for a second. */
const RACE_ATTEMPTS = 24;
const RACE_PAUSE_MS = 50;
/** Time for a guest that is just ending to leave the network. */
const LEAVE_MS = 5_000;
const LEAVE_PAUSE_MS = 20;

type Clock = BundlePorts["clock"];

/** A network that is there now. */
export interface EnsuredNetwork {
  readonly id: string;
  /** We made it; otherwise it was there. */
  readonly isNew: boolean;
}

/**
 * Makes a network, or takes the one of that name when it is this bottle's and as planned. Throws LaunchError
 * `launch.name-taken` when it is another's, and what the engine says.
 */
export async function ensureNetwork(
  engine: Engine,
  body: NetworkBody,
  clock: Pick<Clock, "sleep" | "monotonic">,
): Promise<EnsuredNetwork> {
  for (let attempt = 1; ; attempt += 1) {
    const found = await findStaying(engine, body, clock);
    if (found !== undefined) return { id: checkNetwork(found, body), isNew: false };
    try {
      return { id: await engine.networks.create(body), isNew: true };
    } catch (error) {
      // The name is taken, or the subnet: both may be by another process that makes this very network.
      const status = engineStatus(error);
      const isRace = status === CONFLICT || status === FORBIDDEN || isOverlap(error);
      if (!isRace || attempt >= RACE_ATTEMPTS) throw asOverlap(error, body);
      await clock.sleep(RACE_PAUSE_MS);
    }
  }
}

/** Networks that this process is just removing, by engine and name. */
const leaving = new Map<string, Promise<void>>();

const keyOf = ({ endpoint }: Engine, name: string): string => `${JSON.stringify(endpoint)} ${name}`;

/** Notes that networks will be removed until `gone` settles: who needs one of that name waits for it. */
export function noteLeaving(engine: Engine, names: readonly string[], gone: Promise<void>): void {
  for (const key of names.map((name) => keyOf(engine, name))) {
    const noted = ignore(gone, "told to whoever removes them").then(() => {
      if (leaving.get(key) === noted) leaving.delete(key);
    });
    leaving.set(key, noted);
  }
}

/** The network of that name, unless it is on its way out: that of an earlier life of the bottle is removed after its end was told. */
async function findStaying(
  engine: Engine,
  { Name, Labels: wanted = {} }: NetworkBody,
  clock: Pick<Clock, "sleep" | "monotonic">,
): Promise<NetworkInspect | undefined> {
  await leaving.get(keyOf(engine, Name));
  const giveUpAt = clock.monotonic() + LEAVE_MS;
  for (;;) {
    const found = await engine.networks.inspect(Name);
    const isSame = found?.Labels[BOTTLE_LABEL] === wanted[BOTTLE_LABEL];
    const holder = found === undefined || !isSame ? undefined : holderOf(found, wanted);
    if (holder === undefined || clock.monotonic() >= giveUpAt) return found;
    await clock.sleep(LEAVE_PAUSE_MS);
  }
}

/** The living process that made what is found, where it is not the one that wants it. */
function holderOf(found: NetworkInspect, wanted: Labels): Owner | undefined {
  if (found.Labels[OWNER_LABEL] === wanted[OWNER_LABEL]) return undefined;
  const owner = readOwnerLabel(found.Labels);
  return owner === undefined || ownerState(owner, readOwner()) === "dead" ? undefined : owner;
}

/** Engines say it in two ways: of any overlap, and of the very same subnet. */
const isOverlap = (error: unknown): boolean =>
  engineStatus(error) !== undefined && /overlap|failed to allocate gateway/i.test(messageOf(error));

/** Somebody made a network of this subnet after the plan was made: the plan's next one may be free. */
function asOverlap(error: unknown, { Name, IPAM }: NetworkBody): unknown {
  const [config] = IPAM?.Config ?? [];
  if (config === undefined || !isOverlap(error)) return error;
  return new LaunchError(
    "launch.no-subnet",
    `network ${Name} cannot have ${config.Subnet}: the engine says that it overlaps another one`,
    {
      cause: error,
      hint: "remove networks that nobody uses: docker network prune",
      details: { subnet: config.Subnet },
    },
  );
}

function checkNetwork(found: NetworkInspect, wanted: NetworkBody): string {
  const faults = [
    ...labelFaults(found, wanted),
    ...(found.Driver === wanted.Driver ? [] : [`its driver is ${found.Driver}`]),
    ...(found.Internal === (wanted.Internal === true) ? [] : [`internal is ${found.Internal}`]),
    ...optionFaults(found, wanted),
    ...subnetFaults(found, wanted),
  ];
  if (faults.length === 0) return found.Id;
  throw new LaunchError(
    "launch.name-taken",
    `network ${wanted.Name} exists and is not what this bottle needs: ${faults.join(", ")}`,
    { hint: `remove it: docker network rm ${wanted.Name}` },
  );
}

function labelFaults(found: NetworkInspect, wanted: NetworkBody): readonly string[] {
  const faults = [BOTTLE_LABEL, HOME_LABEL].flatMap((label) => {
    const value = wanted.Labels?.[label];
    return found.Labels[label] === value ? [] : [`it has no label ${label}=${value ?? ""}`];
  });
  const holder = holderOf(found, wanted.Labels ?? {});
  return holder === undefined ? faults : [...faults, `process ${holder.pid} holds it`];
}

function optionFaults(found: NetworkInspect, wanted: NetworkBody): readonly string[] {
  return Object.entries(wanted.Options ?? {})
    .filter(([name, value]) => found.Options[name] !== value)
    .map(([name, value]) => `${name} is ${found.Options[name] ?? "unset"}, not ${value}`);
}

function subnetFaults(found: NetworkInspect, wanted: NetworkBody): readonly string[] {
  if (wanted.IPAM === undefined) return [];
  const subnets = found.IPAM.Config.map((it) => it.Subnet);
  const expected = wanted.IPAM.Config.map((it) => it.Subnet);
  return String(subnets) === String(expected) ? [] : [`its subnet is ${subnets.join(", ")}`];
}

/**
 * Removes a network; a missing one is success. Waits a moment for a guest that is just ending, and only warns when something
 * stays connected: the next cleanup finds it by its label.
 */
export async function removeNetwork(
  engine: Engine,
  name: string,
  { clock, log }: Pick<BundlePorts, "clock" | "log">,
): Promise<void> {
  const end = clock.monotonic() + LEAVE_MS;
  for (;;) {
    try {
      await engine.networks.remove(name);
      return;
    } catch (error) {
      if (engineStatus(error) !== FORBIDDEN) throw error;
      if (clock.monotonic() >= end) {
        log.warn("a network stays, because something is connected to it", {
          network: name,
          error: messageOf(error),
        });
        return;
      }
    }
    await clock.sleep(LEAVE_PAUSE_MS);
  }
}

/**
 * Has the host drop what comes from an internal bridge with an address that it could not answer: datagrams to 255.255.255.255
 * would otherwise be heard by what the host binds on 0.0.0.0. Only root of the engine's own machine can; elsewhere the
 * setting of the machine stands, and the guest's verification says whether it is enough.
 */
export function guardBridge(networkId: string, log: BundlePorts["log"]): void {
  const path = `/proc/sys/net/ipv4/conf/br-${networkId.slice(0, 12)}/rp_filter`;
  try {
    const file = openSync(path, "w");
    using _close = { [Symbol.dispose]: () => closeSync(file) };
    writeSync(file, "1");
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    log.debug("the bridge's filter is not ours to set", { path, error: messageOf(error) });
  }
}
