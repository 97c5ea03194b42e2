/**
 * Launches a machine: recorded before it is made, checked before it starts, answered by guest-init before anything else. Whatever
 * is acquired is released again when a later step fails.
 */
import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import type { Socket } from "node:net";
import { join } from "node:path";
import type { Clock } from "../../base/clock.ts";
import { LaunchError, systemCode } from "../../base/errors.ts";
import type { HostPath } from "../../base/ids.ts";
import { ignore } from "../../base/log.ts";
import { Scope } from "../../base/scope.ts";
import { isAlive, type ProcessIdentity, readStartTime } from "../../process/identity.ts";
import type { Guest, GuestPlan, GuestResources, LaunchContext } from "../contract.ts";
import { type GuestLink, openGuestLink } from "../shared/guest-link.ts";
import { type InitDoor, openInitDoor } from "../shared/init-door.ts";
import { reach } from "./access.ts";
import { lastWords } from "./explain.ts";
import { MachineGuest } from "./guest.ts";
import type { LookAtKvm } from "./kvm.ts";
import { openLease } from "./lease.ts";
import {
  type ExpectedMachine,
  findStatusFaults,
  type MachineStatus,
  parseStatus,
} from "./machine-status.ts";
import { type Preparation, prepareLaunch } from "./prepare.ts";
import { endMachines, OBJECTS } from "./reap.ts";
import { BOTTLE_LABEL, machineName, machineSize, planVolumes, renderCreate } from "./render.ts";
import { machineDirectories, makeBase, makeStateDir } from "./state-dir.ts";

/** Time for a first start: an archive of a gigabyte is unpacked in the guest, on a busy machine. */
const START_MS = 300_000;
/** Time for guest-init to connect once the machine runs, and for it to open its relays. */
const CONNECT_MS = 60_000;
const READY_MS = 60_000;
const WATCH_STEP_MS = 250;
/** Bytes of a machine's log that are looked at for a reason. */
const MAX_LOG_BYTES = 16_384;
/** How our own lines in it begin. */
const COMPLAINT = /^guest(?:-init)?: /;

/** Creates and starts the machine. Throws HostError or LaunchError; nothing is left behind then. */
export async function launchMachine(
  plan: GuestPlan,
  context: LaunchContext,
  lookAtKvm: LookAtKvm,
): Promise<Guest> {
  const prepared = await prepareLaunch(plan, context, lookAtKvm);
  const { ports, signal } = context;
  await using scope = new Scope({ clock: ports.clock });
  const { smolvm, stateDir, base } = prepared;
  const objects = objectsOf(plan, prepared);
  await context.onResources({ processes: [], cgroups: [], objects });
  context.onStarting?.();
  scope.defer("machine", () => endMachines(objects, ports));
  makeStateDir(stateDir, plan.hostUid === undefined ? undefined : smolvm.access);
  if (base !== undefined) makeBase(base);
  const door = scope.use("init door", await openInitDoor(join(plan.doorsDir, "init.sock")));
  const expected = await createMachine(plan, context, prepared);
  const socket = await startMachine(plan, context, { prepared, door, expected });
  const machine = await findMachine(prepared, expected, signal);
  const resources: GuestResources = { processes: [machine], cgroups: [], objects };
  await context.onResources(resources);
  const lease = await openLease(machine, ports.exec);
  if (lease !== undefined) scope.use("lease", lease);
  const link = await openLink(plan, context, socket);
  const guest = new MachineGuest({
    ...{ plan, context, smolvm, link, lease, machine, resources, stateDir, base },
    expected: { ...expected, states: ["running"] },
    limits: prepared.limits,
  });
  scope.move();
  return guest;
}

/** What a reaper needs to end and remove the machine. */
function objectsOf(
  plan: GuestPlan,
  { stateDir, base, layout }: Preparation,
): Readonly<Record<string, readonly string[]>> {
  return {
    [OBJECTS.machine]: [machineName(plan.id)],
    [OBJECTS.state]: [stateDir],
    [OBJECTS.seenState]: [reach(layout.access, stateDir)],
    [OBJECTS.base]: base === undefined ? [] : [base],
  };
}

async function createMachine(
  plan: GuestPlan,
  { signal }: LaunchContext,
  { smolvm, layout }: Preparation,
): Promise<ExpectedMachine> {
  await smolvm.command(renderCreate(plan, layout), { what: "machine not created", signal });
  const expected: ExpectedMachine = {
    ...machineSize(plan, layout),
    name: machineName(plan.id),
    labels: { [BOTTLE_LABEL]: plan.id },
    mounts: planVolumes(plan, layout.kitDir).length,
    states: ["created"],
  };
  const faults = findStatusFaults(await readStatus({ smolvm }, expected, signal), expected);
  if (faults.length === 0) return expected;
  throw new LaunchError(
    "launch.not-isolated",
    `the machine is not what was asked for, and was not started: ${faults.join("; ")}`,
    { hint: "run bot-bottle doctor; this smolvm may be too new" },
  );
}

async function readStatus(
  { smolvm }: Pick<Preparation, "smolvm">,
  expected: ExpectedMachine,
  signal: AbortSignal | undefined,
): Promise<MachineStatus> {
  const argv = ["machine", "status", "--name", expected.name, "--json"];
  return parseStatus(await smolvm.command(argv, { what: "machine not inspected", signal }));
}

interface StartInput {
  readonly prepared: Preparation;
  readonly door: InitDoor;
  readonly expected: ExpectedMachine;
}

/** Starts the machine and waits for guest-init, but not longer than the machine lives. */
async function startMachine(
  plan: GuestPlan,
  context: LaunchContext,
  { prepared, door, expected }: StartInput,
): Promise<Socket> {
  const stop = new AbortController();
  const { signal, onProgress } = context;
  const either = signal === undefined ? stop.signal : AbortSignal.any([stop.signal, signal]);
  const accepted = door.accept({ timeoutMs: START_MS + CONNECT_MS, signal: either });
  void ignore(accepted, "told by the race below");
  onProgress("booting the machine");
  try {
    await prepared.smolvm.command(["machine", "start", "--name", expected.name], {
      what: "machine not started",
      timeoutMs: START_MS,
      signal,
    });
    const machine = await findMachine(prepared, expected, signal);
    const watch = { clock: context.ports.clock, stateDir: prepared.stateDir };
    return await Promise.race([accepted, watchMachine(machine, watch, either)]);
  } catch (error) {
    throw explainStart(error, plan, { prepared, context });
  } finally {
    stop.abort();
  }
}

/** Rejects when the machine has ended, when its workload has said what is missing, or when guest-init has had its time. */
async function watchMachine(
  machine: ProcessIdentity,
  { clock, stateDir }: WatchInput,
  stop: AbortSignal,
): Promise<never> {
  const giveUpAt = clock.monotonic() + CONNECT_MS;
  const isWaiting = (): boolean =>
    isAlive(machine) && clock.monotonic() < giveUpAt && readComplaint(stateDir) === undefined;
  while (isWaiting()) await clock.sleep(WATCH_STEP_MS, stop);
  const why = isAlive(machine) ? "it did not connect to its door" : "its machine ended";
  throw new LaunchError("launch.guest-init", `the guest's first process did not answer: ${why}`);
}

interface WatchInput {
  readonly clock: Clock;
  readonly stateDir: HostPath;
}

/** What the start script or guest-init complained of; undefined while they do not. An image's shell may print what it likes. */
function readComplaint(stateDir: HostPath): string | undefined {
  return readLogs(stateDir)
    .flatMap((log) => log.split("\n"))
    .findLast((line) => COMPLAINT.test(line));
}

function readLogs(stateDir: HostPath): readonly string[] {
  return machineDirectories(stateDir).map((directory) => readTail(join(directory, "workload.log")));
}

interface ExplainInput {
  readonly prepared: Preparation;
  readonly context: LaunchContext;
}

/** What the workload printed tells more than that it did not connect. */
function explainStart(
  error: unknown,
  plan: GuestPlan,
  { prepared, context }: ExplainInput,
): unknown {
  if (context.signal?.aborted === true || !(error instanceof LaunchError)) return error;
  const said = lastWords(
    readComplaint(prepared.stateDir) ?? readLogs(prepared.stateDir).join("\n"),
  );
  if (said === undefined) return error;
  const hint = said.includes("Node.js")
    ? `add Node.js 20 or later to the image${plan.image?.kind === "dockerfile" ? `: edit ${plan.image.dockerfile}` : ""}`
    : error.hint;
  return new LaunchError("launch.guest-init", `${error.message}; the guest says "${said}"`, {
    cause: error,
    hint,
  });
}

/** Only the end: whatever the image prints goes there. The directory is smolvm's user's, who could put a link or a pipe there. */
function readTail(path: string): string {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
  try {
    const file = openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    using _close = { [Symbol.dispose]: () => closeSync(file) };
    const { size } = fstatSync(file);
    const end = Buffer.alloc(Math.min(size, MAX_LOG_BYTES));
    const read = readSync(file, end, 0, end.length, size - end.length);
    return end.toString("utf8", 0, read);
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    return "";
  }
}

/** The machine's process, as smolvm names it; it must be one of ours that lives. */
async function findMachine(
  prepared: Preparation,
  expected: ExpectedMachine,
  signal: AbortSignal | undefined,
): Promise<ProcessIdentity> {
  const { pid } = await readStatus(prepared, expected, signal);
  const startTime = pid === null ? undefined : readStartTime(pid);
  if (pid !== null && startTime !== undefined) return { pid, startTime };
  throw new LaunchError("launch.backend", "the machine ended while it started", {
    hint: "run bot-bottle doctor",
  });
}

async function openLink(
  plan: GuestPlan,
  context: LaunchContext,
  socket: Socket,
): Promise<GuestLink> {
  const { guestEnv, signal, ports } = context;
  return openGuestLink(socket, {
    env: guestEnv,
    relays: plan.doors.map(({ port, name }) => ({
      port,
      socket: `${plan.guestDoors}/${name}.sock`,
    })),
    home: plan.guestHome,
    readyTimeoutMs: READY_MS,
    signal,
    log: ports.log,
  });
}
