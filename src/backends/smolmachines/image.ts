/**
 * The image of a machine as smolvm takes it: an archive or a folder named by its content. smolvm takes any file for an archive and
 * notices in the middle of the boot, so that both are looked at before.
 */
import { chmodSync, closeSync, lstatSync, openSync, readSync, type Stats, statSync } from "node:fs";
import { join } from "node:path";
import { HostError, LaunchError, systemCode } from "../../base/errors.ts";
import { type HostPath, parseHostPath } from "../../base/ids.ts";
import { openEngine } from "../../engine/engine.ts";
import { ensureImage } from "../../images/ensure-image.ts";
import { exportRootfs, saveImage } from "../../images/store-image.ts";
import type { GuestPlan, ImagePlan, LaunchContext } from "../contract.ts";
import { hasFlag, type SmolvmFeatures } from "./features.ts";

const TAR_BLOCK = 512;
/** Entries of an archive that are looked at; an image has some dozens. */
const MAX_TAR_ENTRIES = 20_000;
/** By one of these an archive is known as an image. */
const MANIFESTS = ["manifest.json", "index.json"];
const SHELLS = ["bin/sh", "usr/bin/sh"];
const NO_ENGINE_HINT =
  "start the container engine, or name a root file system or archive without one: BOT_BOTTLE_IMAGE=/path/to/rootfs";

/** An image that a machine can be made of. */
export interface MachineImage {
  readonly path: HostPath;
  readonly isFile: boolean;
}

/** Finds or makes the image. Throws LaunchError `launch.image` or `launch.backend`, or HostError. */
export async function openImage(
  plan: GuestPlan,
  context: LaunchContext,
  features: SmolvmFeatures,
): Promise<MachineImage> {
  const { image } = plan;
  if (image === undefined)
    throw new LaunchError("launch.backend", "a machine needs an image; the plan names none");
  const local = localPath(image);
  if (local !== undefined) return checkImage(local);
  const path = await takeFromEngine(image, plan.cacheDir, { context, features });
  // Below our private cache; smolvm as another user reads it through a mount of its own.
  if (plan.hostUid !== undefined && statSync(path).isFile()) chmodSync(path, 0o644);
  return checkImage(path);
}

/** An absolute path is no reference of the engine's. */
function localPath(image: ImagePlan): HostPath | undefined {
  if (image.kind !== "reference" || !image.reference.startsWith("/")) return undefined;
  return parseHostPath(image.reference);
}

interface EngineInput {
  readonly context: LaunchContext;
  readonly features: SmolvmFeatures;
}

/** An archive keeps the image's owners whoever unpacks it, but its user cannot be chosen in every version. */
async function takeFromEngine(
  image: ImagePlan,
  cacheDir: HostPath,
  { context, features }: EngineInput,
): Promise<HostPath> {
  const { ports, signal, onProgress } = context;
  using engine = await openEngineOrExplain(ports.env);
  const { id } = await ensureImage(image, { engine, env: ports.env, signal, onProgress });
  const { exec, searchPath } = ports;
  const store = { engine, exec, searchPath, signal, onProgress };
  return hasFlag(features, "create", "user")
    ? await saveImage(id, cacheDir, store)
    : await exportRootfs(id, cacheDir, store);
}

async function openEngineOrExplain(
  env: LaunchContext["ports"]["env"],
): ReturnType<typeof openEngine> {
  try {
    return await openEngine(env);
  } catch (error) {
    if (!(error instanceof HostError)) throw error;
    throw new HostError(
      "host.backend-unavailable",
      `the guest's image cannot be had: ${error.message}`,
      {
        hint: NO_ENGINE_HINT,
        cause: error,
      },
    );
  }
}

/** Looks at an image. Throws LaunchError `launch.backend` for what is none. */
export function checkImage(path: HostPath): MachineImage {
  const info = statOf(path);
  if (info?.isDirectory() === true) {
    if (SHELLS.some((shell) => exists(join(path, shell)))) return { path, isFile: false };
    throw notAnImage(path, "it has no /bin/sh; an unpacked root file system is expected");
  }
  if (info?.isFile() !== true) throw notAnImage(path, "there is no such file or directory");
  if (tarNames(path).some((name) => MANIFESTS.includes(name))) return { path, isFile: true };
  throw notAnImage(path, "it is no archive that docker save makes");
}

/** Names of an archive's first entries; empty for what is no archive. */
function tarNames(path: HostPath): readonly string[] {
  const file = openSync(path, "r");
  try {
    const names: string[] = [];
    const header = Buffer.alloc(TAR_BLOCK);
    for (let at = 0; names.length < MAX_TAR_ENTRIES; ) {
      if (readSync(file, header, 0, TAR_BLOCK, at) < TAR_BLOCK) break;
      const entry = parseHeader(header);
      if (entry === undefined) break;
      names.push(entry.name);
      at += TAR_BLOCK + Math.ceil(entry.size / TAR_BLOCK) * TAR_BLOCK;
    }
    return names;
  } finally {
    closeSync(file);
  }
}

function parseHeader(header: Buffer): { name: string; size: number } | undefined {
  if (header.toString("latin1", 257, 262) !== "ustar") return undefined;
  const text = (from: number, length: number): string =>
    header
      .toString("latin1", from, from + length)
      .split("\0")[0]
      ?.trim() ?? "";
  const size = Number.parseInt(text(124, 12), 8);
  if (!Number.isSafeInteger(size) || size < 0) return undefined;
  return { name: text(0, 100).replace(/^\.\//, ""), size };
}

function exists(path: string): boolean {
  try {
    lstatSync(path);
    return true;
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    return false;
  }
}

function statOf(path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    return undefined;
  }
}

function notAnImage(path: string, why: string): LaunchError {
  return new LaunchError("launch.backend", `${path} cannot be a machine's image: ${why}`, {
    hint: "give a root file system's directory, or an archive of docker save",
    details: { image: path },
  });
}
