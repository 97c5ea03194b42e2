/**
 * Launches a machine that is filtered by address: packed, created, its filter forced and read back, started, repaired, settled, and
 * answered by guest-init. Whatever is acquired is released again when a later step fails.
 */
import { LaunchError } from "../../../base/errors.ts";
import { Scope } from "../../../base/scope.ts";
import { openEngine } from "../../../engine/engine.ts";
import { type ProcessIdentity, readStartTime } from "../../../process/identity.ts";
import type { Guest, GuestPlan, GuestResources, LaunchContext } from "../../contract.ts";
import { type GuestLink, openGuestLink } from "../../shared/guest-link.ts";
import { reach } from "../access.ts";
import type { LookAtKvm } from "../kvm.ts";
import { endMachines, OBJECTS } from "../reap.ts";
import { machineName, machineSize, planVolumes } from "../render.ts";
import { makeBase, makeStateDir } from "../state-dir.ts";
import { databasePath, forceAllowlist } from "./allowlist.ts";
import { TsiGuest } from "./guest.ts";
import { openTcpInitDoor } from "./init-door.ts";
import { findStatusFaults, readStatus, type TsiInspection } from "./inspect.ts";
import { type Machine, runScript, settle } from "./machine.ts";
import { ensurePack } from "./pack.ts";
import { packNames } from "./pack-registry.ts";
import { prepareTsi, type TsiPreparation } from "./prepare.ts";
import { ENGINE_OBJECTS } from "./reap.ts";
import { allowedCidr, renderCreate } from "./render.ts";
import { nameArgs } from "./require-tsi.ts";
import { REPAIR_SCRIPT } from "./scripts.ts";
import { type RunningInit, startInit } from "./start-init.ts";

/** Time for a start: the pack is unpacked the first time. */
const START_MS = 300_000;
const READY_MS = 60_000;

/** Creates and starts the machine. Throws HostError or LaunchError; nothing is left behind then. */
export async function launchTsi(
  plan: GuestPlan,
  context: LaunchContext,
  lookAtKvm: LookAtKvm,
): Promise<Guest> {
  const { ports, signal, onProgress } = context;
  await using scope = new Scope({ clock: ports.clock });
  using engine = await openEngine(ports.env, { signal });
  const prepared = await prepareTsi(plan, context, { engine, lookAtKvm });
  const { smolvm, stateDir, base, layout, imageId } = prepared;
  let resources: GuestResources = {
    processes: [],
    cgroups: [],
    objects: objectsOf(plan, prepared),
  };
  await context.onResources(resources);
  scope.defer("machine", () => endMachines(resources.objects, ports));
  makeStateDir(stateDir, plan.hostUid === undefined ? undefined : smolvm.access);
  if (base !== undefined) makeBase(base);
  const { id, cacheDir } = plan;
  await ensurePack({ engine, id, cacheDir, imageId, pack: layout.pack, smolvm, stateDir, context });
  const inspection = await createMachine(plan, prepared, signal);
  onProgress("booting the machine");
  const { name } = inspection.expected;
  const machine: Machine = { smolvm, name, stateDir, clock: ports.clock, signal };
  const vmm = await startMachine(machine);
  resources = { ...resources, processes: [vmm] };
  await context.onResources(resources);
  await prepareMachine(plan, machine);
  const door = scope.use("init door", await openTcpInitDoor(layout.alias));
  const init = await startInit({ plan, context, machine, door });
  scope.defer("guest-init", () => init.child.terminate(0));
  const link = await openLink(plan, context, init);
  const parts = { plan, context, machine, link, vmm, inspection, resources, stateDir, base };
  const guest = new TsiGuest({ ...parts, child: init.child, limits: prepared.limits });
  scope.move();
  return guest;
}

/** What a reaper needs to end and remove everything. */
function objectsOf(
  plan: GuestPlan,
  { stateDir, base, layout }: TsiPreparation,
): Readonly<Record<string, readonly string[]>> {
  const { registry, crane, network } = packNames(plan.id);
  return {
    [OBJECTS.machine]: [machineName(plan.id)],
    [OBJECTS.state]: [stateDir],
    [OBJECTS.seenState]: [reach(layout.access, stateDir)],
    [OBJECTS.base]: base === undefined ? [] : [base],
    [ENGINE_OBJECTS.container]: [crane, registry],
    [ENGINE_OBJECTS.network]: [network],
  };
}

/** Creates the machine, and filters it before it can run. */
async function createMachine(
  plan: GuestPlan,
  { smolvm, layout, stateDir }: TsiPreparation,
  signal: AbortSignal | undefined,
): Promise<TsiInspection> {
  await smolvm.command(renderCreate(plan, layout), { what: "machine not created", signal });
  const { uid, gid } = layout.access;
  const name = machineName(plan.id);
  const file = databasePath(stateDir, process.platform);
  const row = { file, machine: name, owner: { uid, gid } };
  const cidr = allowedCidr(layout);
  await forceAllowlist(row, cidr);
  const mounts = planVolumes(plan, undefined).length;
  const expected = { ...machineSize(plan, layout), name, mounts, cidr };
  const faults = findStatusFaults(await readStatus(smolvm, name, signal), expected, "created");
  if (faults.length === 0) return { smolvm, row, expected };
  throw new LaunchError(
    "launch.not-isolated",
    `the machine is not what was asked for, and was not started: ${faults.join("; ")}`,
    { hint: "run bot-bottle doctor; this smolvm may be of another family" },
  );
}

/** Starts the machine and finds the process that it is. */
async function startMachine({ smolvm, name, signal }: Machine): Promise<ProcessIdentity> {
  const argv = ["machine", "start", ...nameArgs(smolvm.features, "start", name)];
  await smolvm.command(argv, { what: "machine not started", timeoutMs: START_MS, signal });
  const { pid } = await readStatus(smolvm, name, signal);
  const startTime = pid === null ? undefined : readStartTime(pid);
  if (pid !== null && startTime !== undefined) return { pid, startTime };
  throw new LaunchError("launch.backend", "the machine ended while it started", {
    hint: "run bot-bottle doctor",
  });
}

/** Repairs what packing broke, in one program, then waits until the machine takes others. */
async function prepareMachine(plan: GuestPlan, machine: Machine): Promise<void> {
  const { uid, gid } = machine.smolvm.access;
  const script = [REPAIR_SCRIPT, "repair", String(uid), String(gid), plan.guestHome];
  await runScript(machine, script, "the machine's files were not repaired");
  await settle(machine);
}

/** Doors are on the alias; names of doors lead to guest-init's relays, which lead there. */
function openLink(
  plan: GuestPlan,
  context: LaunchContext,
  { socket }: RunningInit,
): Promise<GuestLink> {
  const { guestEnv, signal, ports, attachment } = context;
  const relays = plan.doors.flatMap(({ name, port }) => {
    const endpoint = attachment?.endpoints[name];
    return endpoint === undefined
      ? []
      : [{ port, socket: `tcp:${endpoint.host}:${endpoint.port}` }];
  });
  const { guestHome: home } = plan;
  const { log } = ports;
  return openGuestLink(socket, {
    env: guestEnv,
    relays,
    home,
    readyTimeoutMs: READY_MS,
    signal,
    log,
  });
}
