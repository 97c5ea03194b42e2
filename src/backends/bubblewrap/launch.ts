/**
 * Launches a guest: limits, door, chain, first connection. Whatever is acquired is released again when a later step fails,
 * and is recorded before it can leak.
 */
import type { Socket } from "node:net";
import { join } from "node:path";
import { BugError, HostError, LaunchError } from "../../base/errors.ts";
import { Scope } from "../../base/scope.ts";
import type { Child } from "../../process/exec.ts";
import { killIfSame, type ProcessIdentity, readStartTime } from "../../process/identity.ts";
import { isSafeStdio } from "../../process/stdio-relay.ts";
import type { Guest, GuestPlan, GuestResources, LaunchContext } from "../contract.ts";
import { type GuestLink, openGuestLink } from "../shared/guest-link.ts";
import { type InitDoor, openInitDoor } from "../shared/init-door.ts";
import { openCgroups } from "./cgroup.ts";
import { readGuestPid, setupFailure, startChain } from "./chain.ts";
import { BubblewrapGuest, closeCgroups } from "./guest.ts";
import { checkMountPoints, prepareEtc } from "./guest-files.ts";
import { probeLayout } from "./layout.ts";
import { type ChosenLimits, chooseLimits } from "./limits.ts";
import { probeLimitHost, tryNamespaces } from "./probe.ts";
import { type HostLayout, renderBubblewrap, renderDropPrefix, renderLauncher } from "./render.ts";
import { parseSeccompArch, renderSeccompFilter } from "./seccomp.ts";
import type { SeccompArch } from "./syscalls.ts";
import { watchMemory } from "./watchdog.ts";

/** Milliseconds for guest-init to connect: it takes 60, a busy machine a hundred times that. */
export const MAX_CONNECT_MS = 20_000;

/** What the machine and the plan decide before anything is made. */
interface Preparation {
  readonly layout: HostLayout;
  readonly limits: ChosenLimits;
  readonly filter: Buffer;
}

/** Creates and starts the guest. Throws HostError or LaunchError; nothing is left behind then. */
export async function launchBubblewrap(plan: GuestPlan, context: LaunchContext): Promise<Guest> {
  const prepared = await prepare(plan, context);
  await using scope = new Scope({ clock: context.ports.clock });
  const watch = new AbortController();
  const { cgroups } = prepared.limits;
  let resources: GuestResources = {
    processes: [],
    cgroups: cgroups.map((group) => group.directory),
    objects: {},
  };
  const record = async (...processes: readonly ProcessIdentity[]): Promise<void> => {
    resources = { ...resources, processes: [...resources.processes, ...processes] };
    await context.onResources(resources);
  };
  scope.defer("control groups", () => closeCgroups(resources, context.ports.clock));
  if (cgroups.length > 0) await record();
  openCgroups(cgroups);
  const door = scope.use("init door", await openInitDoor(join(plan.doorsDir, "init.sock")));
  const child = scope.use("bubblewrap", await spawn(plan, context, prepared));
  await record(identityOf(child.pid));
  const { init, link } = await connectGuest(plan, context, {
    child,
    door,
    layout: prepared.layout,
    record,
  });
  scope.defer("first process", () => killIfSame(init, "SIGKILL"));
  const isolation = isolationOf(plan, init.pid);
  const guest = new BubblewrapGuest({
    ...{ child, link, init, resources, isolation, watch },
    limits: prepared.limits.report,
    ports: context.ports,
  });
  startWatch(prepared.limits, init, { watch, context });
  scope.move();
  return guest;
}

async function prepare(plan: GuestPlan, context: LaunchContext): Promise<Preparation> {
  context.signal?.throwIfAborted();
  refuseUnsafeStdio(context.stdio);
  const arch = requireArch();
  const isRoot = process.getuid?.() === 0;
  // A guest that is kernel uid 0, mapped or not, owns what root owns.
  if (isRoot !== (plan.hostUid !== undefined)) {
    throw new BugError("a guest has a host uid of its own exactly when root launches it");
  }
  await checkMountPoints(plan);
  const layout = await probeLayout(context.ports, isRoot);
  const { memoryBytes, cpus } = plan.limits;
  const host = await probeLimitHost(context.ports, {
    hasPrlimit: layout.prlimit !== undefined,
    needsGroups: memoryBytes !== undefined || cpus !== undefined,
  });
  const limits = chooseLimits(plan.id, plan.limits, host);
  prepareEtc(plan.etcDir, layout.etcEntries);
  const filter = renderSeccompFilter(arch, {
    allowsUserNamespaces: plan.allowsUserNamespaces,
    sharesProcessGroup: plan.terminal === "shared",
    boundsSharedMemory: limits.watchedBytes !== undefined,
  });
  return { layout, limits, filter };
}

/** What the guest inherits could be opened anew from inside, with another mode: the caller relays what is not safe. */
function refuseUnsafeStdio(stdio: LaunchContext["stdio"]): void {
  if (isSafeStdio(stdio)) return;
  throw new BugError(
    "a descriptor of the guest is neither a terminal nor /dev/null; all three go through openSafeStdio, and its stdio is passed on as it is",
  );
}

function requireArch(): SeccompArch {
  const arch = parseSeccompArch(process.arch);
  if (process.platform === "linux" && arch !== undefined) return arch;
  throw new HostError(
    "host.backend-unavailable",
    `bubblewrap guests run on Linux on x64 or arm64; this is ${process.platform} on ${process.arch}`,
    { hint: "run bot-bottle doctor" },
  );
}

async function spawn(
  plan: GuestPlan,
  context: LaunchContext,
  { layout, limits, filter }: Preparation,
): Promise<Child> {
  const rendered = renderBubblewrap(plan, layout);
  const cgroups = limits.cgroups.map((group) => group.directory);
  return startChain({
    command: renderLauncher(rendered.argv, { cgroups, prefix: limits.prefix }),
    env: limits.env,
    rendered,
    filter,
    stdio: context.stdio,
    terminal: plan.terminal,
    ports: context.ports,
  });
}

interface ConnectParts {
  readonly child: Child;
  readonly door: InitDoor;
  readonly layout: HostLayout;
  readonly record: (...processes: readonly ProcessIdentity[]) => Promise<void>;
}

async function connectGuest(
  plan: GuestPlan,
  context: LaunchContext,
  parts: ConnectParts,
): Promise<{ readonly init: ProcessIdentity; readonly link: GuestLink }> {
  try {
    const init = identityOf(await readGuestPid(parts.child, context.signal));
    await parts.record(init);
    const socket = await acceptGuest(parts.child, parts.door, context.signal);
    // From here on the guest can trace its first process and write what it likes into bubblewrap's log.
    parts.child.stderr?.destroy();
    const relays = plan.doors.map(({ port, name }) => ({
      port,
      socket: `${plan.guestDoors}/${name}.sock`,
    }));
    const { guestEnv: env, signal, ports } = context;
    const link = await openGuestLink(socket, {
      env,
      relays,
      home: plan.guestHome,
      signal,
      log: ports.log,
    });
    return { init, link };
  } catch (error) {
    throw await explainFailure(error, plan, { context, layout: parts.layout });
  }
}

/** Waits for guest-init, but not longer than the chain lives. */
async function acceptGuest(
  child: Child,
  door: InitDoor,
  signal: AbortSignal | undefined,
): Promise<Socket> {
  const stop = new AbortController();
  const either = signal === undefined ? stop.signal : AbortSignal.any([stop.signal, signal]);
  const ended = child.exited.then(() => {
    throw setupFailure(child, "guest-init ended before it connected");
  });
  try {
    return await Promise.race([door.accept({ timeoutMs: MAX_CONNECT_MS, signal: either }), ended]);
  } finally {
    stop.abort();
  }
}

/** A chain that fails is mostly a machine that forbids namespaces: tried again alone, to be sure before it is said. */
async function explainFailure(
  error: unknown,
  plan: GuestPlan,
  parts: { readonly context: LaunchContext; readonly layout: HostLayout },
): Promise<unknown> {
  const { context, layout } = parts;
  if (!(error instanceof LaunchError) || context.signal?.aborted === true) return error;
  const refusal = await tryNamespaces(
    layout.bwrap,
    context.ports,
    renderDropPrefix(plan.hostUid, layout.setpriv),
  );
  if (refusal === undefined) return error;
  return new HostError("host.userns-forbidden", refusal.reason, {
    hint: refusal.hint,
    cause: error,
  });
}

function identityOf(pid: number): ProcessIdentity {
  return { pid, startTime: readStartTime(pid) ?? "" };
}

function isolationOf(
  plan: GuestPlan,
  hostPid: number,
): { hostPid: number; hostUid: number; hostGid: number } {
  return {
    hostPid,
    hostUid: plan.hostUid ?? process.getuid?.() ?? -1,
    hostGid: plan.hostUid ?? process.getgid?.() ?? -1,
  };
}

function startWatch(
  limits: ChosenLimits,
  init: ProcessIdentity,
  parts: { readonly watch: AbortController; readonly context: LaunchContext },
): void {
  if (limits.watchedBytes === undefined) return;
  const { clock, log } = parts.context.ports;
  void watchMemory({
    hostPid: init.pid,
    limitBytes: limits.watchedBytes,
    clock,
    log,
    signal: parts.watch.signal,
    onExceeded: () => killIfSame(init, "SIGKILL"),
  });
}
