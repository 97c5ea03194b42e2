/** Settles everything about a launch that needs no machine: program, rights, image, paths. Nothing of it has to be undone. */
import { availableParallelism, totalmem } from "node:os";
import { BugError, HostError, LaunchError } from "../../base/errors.ts";
import { type HostPath, parseHostPath } from "../../base/ids.ts";
import { helperEnv } from "../../process/env.ts";
import { requireBinary } from "../../process/find-binary.ts";
import type { BackendPorts, GuestPlan, LaunchContext, LimitReport } from "../contract.ts";
import { type Access, type AccessPrograms, planBinds } from "./access.ts";
import { readFeatures, requireSockets, type SmolvmFeatures } from "./features.ts";
import { type MachineImage, openImage } from "./image.ts";
import { openKit, placeGuestInit } from "./kit.ts";
import type { LookAtKvm } from "./kvm.ts";
import { chooseLimits } from "./limits.ts";
import { preparePackage } from "./package.ts";
import { findSmolvm, type SmolvmProgram } from "./program.ts";
import { findPlanFaults, MAX_VOLUMES_OLD, type MachineLayout, maxVolumes } from "./render.ts";
import { checkShares } from "./shares.ts";
import { Smolvm } from "./smolvm.ts";
import { chooseBase, chooseStateDir } from "./state-dir.ts";

const MIB = 1_048_576;

/** What a launch is made with. */
export interface Preparation {
  readonly smolvm: Smolvm;
  readonly program: SmolvmProgram;
  readonly layout: MachineLayout;
  readonly limits: LimitReport;
  readonly stateDir: HostPath;
  /** Undefined unless root drops to a uid. */
  readonly base: HostPath | undefined;
}

/** A smolvm that can be asked. */
export interface FoundSmolvm {
  readonly program: SmolvmProgram;
  readonly features: SmolvmFeatures;
}

/** Finds smolvm and what it can do; nothing is unpacked for that. Throws HostError. */
export async function openSmolvm(
  ports: Pick<BackendPorts, "env" | "searchPath" | "exec" | "onSkipped">,
  cacheDir: HostPath | undefined,
): Promise<FoundSmolvm> {
  const program = await findSmolvm(ports);
  const env = { ...helperEnv(ports.searchPath), HOME: "/nonexistent" };
  const libraries = program.libDir === undefined ? {} : { LD_LIBRARY_PATH: program.libDir };
  const features = await readFeatures({
    argv: [program.program],
    env: { ...env, ...libraries },
    exec: ports.exec,
    program: program.program,
    cacheDir: ports.onSkipped === undefined ? cacheDir : undefined,
  });
  return { program, features };
}

/** Settles a launch. Throws HostError or LaunchError; nothing has been made but entries of the cache and one file of ours. */
export async function prepareLaunch(
  plan: GuestPlan,
  context: LaunchContext,
  lookAtKvm: LookAtKvm,
): Promise<Preparation> {
  context.signal?.throwIfAborted();
  if (plan.attachment !== "sockets")
    throw new BugError(`a machine's doors are sockets, not ${plan.attachment}`);
  const { ports, onProgress } = context;
  const kvmGid = requireKvm(lookAtKvm);
  const limits = chooseLimits(plan.limits);
  const { program: found, features } = await openSmolvm(ports, plan.cacheDir);
  requireSockets(features);
  const { cacheDir } = plan;
  const program = await preparePackage(found, { ports, cacheDir, onProgress });
  const image = await openImage(plan, context, features);
  // Our Node is for images without one, and takes a share that an older machine does not have.
  const kitDir = maxVolumes(features) > MAX_VOLUMES_OLD ? openKit(plan) : undefined;
  placeGuestInit(plan);
  const stateDir = chooseStateDir(plan.doorsDir, plan.hostUid !== undefined);
  const access = await openAccess(plan, ports, {
    paths: pathsOf(plan, { program, image, kitDir, stateDir }),
    kvmGid,
  });
  const layout: MachineLayout = {
    access,
    features,
    image: image.path,
    kitDir,
    hostCpus: availableParallelism(),
    hostMemoryMiB: Math.floor(totalmem() / MIB),
  };
  refuseFaults([...findPlanFaults(plan, layout), ...checkShares(plan)]);
  const { exec, searchPath } = ports;
  const smolvm = new Smolvm({ program, features, access, stateDir, exec, searchPath });
  const base = access.kind === "dropped" ? access.base : undefined;
  return { smolvm, program, layout, limits, stateDir, base };
}

/** The group that the device is open to, if any. Throws HostError `host.backend-unavailable` where machines cannot run. */
export function requireKvm(lookAtKvm: LookAtKvm): number | undefined {
  if (process.platform !== "linux") return undefined;
  const kvm = lookAtKvm(process.getuid?.() === 0);
  if (kvm.kind === "open") return kvm.gid;
  throw new HostError("host.backend-unavailable", `smolmachines cannot be used: ${kvm.reason}`, {
    hint: kvm.hint,
  });
}

/** Throws LaunchError `launch.backend` when there is anything that smolvm must not be given. */
export function refuseFaults(faults: readonly string[]): void {
  if (faults.length === 0) return;
  throw new LaunchError("launch.backend", `the machine cannot be made: ${faults.join("; ")}`, {
    hint: "change the bottle's mounts, or set BOT_BOTTLE_HOME to a directory with a shorter path",
  });
}

interface PathInput {
  readonly program: SmolvmProgram;
  readonly image: MachineImage;
  readonly kitDir: HostPath | undefined;
  readonly stateDir: HostPath;
}

/** Every path of the host that smolvm or its machine opens. */
function pathsOf(plan: GuestPlan, input: PathInput): Parameters<typeof planBinds>[0] {
  const { program, image, kitDir, stateDir } = input;
  const programDir = parseHostPath(
    program.program.slice(0, program.program.lastIndexOf("/")) || "/",
  );
  return [
    { source: stateDir },
    { source: plan.doorsDir },
    { source: programDir },
    { source: program.libDir },
    { source: program.agentRootfs },
    { source: image.path, isFile: image.isFile },
    { source: kitDir },
    { source: plan.homeDir },
    { source: plan.workspaceDir },
    { source: plan.etcDir },
    ...plan.mounts.map(({ hostPath }) => ({ source: hostPath })),
  ];
}

interface AccessInput {
  readonly paths: Parameters<typeof planBinds>[0];
  readonly kvmGid: number | undefined;
}

/** Who runs smolvm, and where it sees what it needs. Throws HostError `host.binary-missing`. */
export async function openAccess(
  plan: GuestPlan,
  ports: BackendPorts,
  { paths, kvmGid }: AccessInput,
): Promise<Access> {
  const uid = process.getuid?.() ?? -1;
  // A machine that root launches has a uid of its own: root's would own the host where it breaks out.
  if ((uid === 0) !== (plan.hostUid !== undefined))
    throw new BugError("a guest has a host uid of its own exactly when root launches it");
  if (plan.hostUid === undefined) return { kind: "own", uid, gid: process.getgid?.() ?? -1 };
  return {
    kind: "dropped",
    uid: plan.hostUid,
    gid: kvmGid ?? plan.hostUid,
    base: chooseBase(),
    binds: planBinds(paths),
    programs: await findAccessPrograms(ports),
  };
}

async function findAccessPrograms(ports: BackendPorts): Promise<AccessPrograms> {
  const [sh, unshare, setpriv] = await Promise.all(
    ["sh", "unshare", "setpriv"].map((name) => requireBinary(name, ports.searchPath)),
  );
  return {
    sh: parseHostPath(sh ?? ""),
    unshare: parseHostPath(unshare ?? ""),
    setpriv: parseHostPath(setpriv ?? ""),
  };
}
