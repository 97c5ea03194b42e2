/** Settles everything about a launch with attachment `tsi` that needs no machine. Nothing of it has to be undone. */
import { availableParallelism, totalmem } from "node:os";
import { BugError, LaunchError } from "../../../base/errors.ts";
import { type HostPath, parseHostPath } from "../../../base/ids.ts";
import { makeDirectory } from "../../../base/make-directory.ts";
import type { Engine } from "../../../engine/contract.ts";
import { ensureImage } from "../../../images/ensure-image.ts";
import type { AttachmentValues, GuestPlan, LaunchContext, LimitReport } from "../../contract.ts";
import { placeGuestInit } from "../kit.ts";
import type { LookAtKvm } from "../kvm.ts";
import { chooseLimits } from "../limits.ts";
import { openAccess, openSmolvm, refuseFaults, requireKvm } from "../prepare.ts";
import { checkShares } from "../shares.ts";
import { Smolvm } from "../smolvm.ts";
import { chooseStateDir } from "../state-dir.ts";
import { packDirectory, packPath } from "./pack.ts";
import { findPlanFaults, type TsiLayout } from "./render.ts";
import { requireTsi } from "./require-tsi.ts";

const MIB = 1_048_576;
const ALIAS = /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/;
const USUAL = "127.0.0.1";

/** What a launch is made with. */
export interface TsiPreparation {
  readonly smolvm: Smolvm;
  readonly layout: TsiLayout;
  readonly limits: LimitReport;
  readonly imageId: string;
  readonly stateDir: HostPath;
  /** Undefined unless root drops to a uid. */
  readonly base: HostPath | undefined;
}

/** Settles a launch. Throws HostError or LaunchError; nothing has been made but images and entries of the cache. */
export async function prepareTsi(
  plan: GuestPlan,
  context: LaunchContext,
  { engine, lookAtKvm }: { readonly engine: Engine; readonly lookAtKvm: LookAtKvm },
): Promise<TsiPreparation> {
  const { ports, signal, onProgress } = context;
  signal?.throwIfAborted();
  const alias = aliasOf(context.attachment);
  const kvmGid = requireKvm(lookAtKvm);
  const limits = chooseLimits(plan.limits);
  const { program, features } = await openSmolvm(ports, plan.cacheDir);
  requireTsi(features);
  const image = requireReference(plan);
  const { id: imageId } = await ensureImage(image, { engine, env: ports.env, signal, onProgress });
  const packs = packDirectory(plan.cacheDir);
  // The cache above is private; smolvm as another user sees this directory through a mount of its own.
  makeDirectory(packs, 0o755);
  placeGuestInit(plan);
  const stateDir = chooseStateDir(plan.doorsDir, plan.hostUid !== undefined);
  const directories = [stateDir, directoryOf(program.program), program.libDir, program.agentRootfs];
  const shared = [packs, plan.homeDir, plan.workspaceDir, plan.etcDir];
  const mounts = plan.mounts.map(({ hostPath }) => hostPath);
  const paths = [...directories, ...shared, ...mounts].map((source) => ({ source }));
  const access = await openAccess(plan, ports, { paths, kvmGid });
  const layout: TsiLayout = {
    access,
    features,
    pack: packPath(plan.cacheDir, imageId, features.version),
    hostCpus: availableParallelism(),
    hostMemoryMiB: Math.floor(totalmem() / MIB),
    alias,
  };
  refuseFaults([...findPlanFaults(plan, layout), ...checkShares(plan)]);
  const { exec, searchPath } = ports;
  const smolvm = new Smolvm({ program, features, access, stateDir, exec, searchPath });
  const base = access.kind === "dropped" ? access.base : undefined;
  return { smolvm, layout, limits, imageId, stateDir, base };
}

/** The one address of the host's loopback on which all doors are. */
function aliasOf(attachment: AttachmentValues | undefined): string {
  const hosts = Object.values(attachment?.endpoints ?? {}).map(({ host }) => host);
  const [alias = ""] = hosts;
  if (ALIAS.test(alias) && alias !== USUAL && hosts.every((host) => host === alias)) return alias;
  throw new BugError(
    `the doors of a filtered guest are on one alias of the loopback, not "${hosts.join(", ")}"`,
  );
}

function requireReference({ image }: GuestPlan): NonNullable<GuestPlan["image"]> {
  if (image === undefined)
    throw new LaunchError("launch.backend", "a machine needs an image; the plan names none");
  if (image.kind !== "reference" || !image.reference.startsWith("/")) return image;
  throw new LaunchError(
    "launch.image",
    `${image.reference} cannot be packed: attachment tsi takes images of the container engine only`,
    { hint: "name an image of the engine in BOT_BOTTLE_IMAGE, or import the files: docker import" },
  );
}

function directoryOf(program: HostPath): HostPath {
  return parseHostPath(program.slice(0, program.lastIndexOf("/")) || "/");
}
