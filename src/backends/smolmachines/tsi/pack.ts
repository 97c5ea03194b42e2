/**
 * An image packed for smolvm, kept in the cache under the image's id and smolvm's version. Invariant: a pack appears whole by a
 * rename or not at all, and the archive that it is made of, up to a gigabyte, is removed whatever happens.
 */
import { randomBytes } from "node:crypto";
import { createWriteStream, existsSync, lstatSync, mkdirSync } from "node:fs";
import { chmod, chown, cp, readdir, rename, rm, stat, utimes } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { BugError, LaunchError, systemCode } from "../../../base/errors.ts";
import { type BottleId, type HostPath, parseHostPath } from "../../../base/ids.ts";
import type { Engine } from "../../../engine/contract.ts";
import type { LaunchContext } from "../../contract.ts";
import { reach } from "../access.ts";
import type { Smolvm } from "../smolvm.ts";
import { openRegistry, requirePackingImages } from "./pack-registry.ts";
import { renderPack } from "./render.ts";

const IMAGE_ID = /^sha256:([0-9a-f]{64})$/;
/** Digits of an image's id by which its pack is known. */
const KEY_DIGITS = 16;
/** Packs that are kept: one takes up to a gigabyte. */
const KEPT_PACKS = 4;
/** Packing boots a machine and unpacks the image in it. */
const PACK_MS = 900_000;
/** What smolvm adds to the name it is given. */
const PACK_SUFFIX = ".smolmachine";

/** Where packs lie. */
export function packDirectory(cacheDir: HostPath): HostPath {
  return parseHostPath(join(cacheDir, "smolmachines"));
}

/** Where the pack of an image lies, made or not. */
export function packPath(cacheDir: HostPath, imageId: string, version: string): HostPath {
  const [, digest] = IMAGE_ID.exec(imageId) ?? [];
  if (digest === undefined) throw new BugError(`"${imageId}" is not the id of an image`);
  const name = `${digest.slice(0, KEY_DIGITS)}-smolvm-${version}${PACK_SUFFIX}`;
  return parseHostPath(join(packDirectory(cacheDir), `${name}${PACK_SUFFIX}`));
}

/** What packing needs. */
export interface PackInput {
  readonly engine: Engine;
  readonly id: BottleId;
  /** Cache of the home whose bottle it is. */
  readonly cacheDir: HostPath;
  readonly imageId: string;
  /** Where the pack is to be. */
  readonly pack: HostPath;
  readonly smolvm: Smolvm;
  /** A directory of smolvm's user. */
  readonly stateDir: HostPath;
  readonly context: Pick<LaunchContext, "ports" | "signal" | "onProgress">;
}

/** Finds the pack or makes it. Throws LaunchError `launch.image` or `launch.backend`, or HostError. */
export async function ensurePack(input: PackInput): Promise<void> {
  const { pack, context } = input;
  if (await touch(pack, context)) return;
  await requirePackingImages(input.engine, context.ports);
  const directory = join(pack, "..");
  const scratch = parseHostPath(join(directory, `.new-${randomBytes(6).toString("hex")}`));
  mkdirSync(scratch, { mode: 0o700 });
  try {
    await makePack(input, scratch);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
  await removeOldest(directory);
}

async function makePack(input: PackInput, scratch: HostPath): Promise<void> {
  const { engine, id, cacheDir, imageId, context } = input;
  const { ports, signal, onProgress } = context;
  const tag = imageId.slice("sha256:".length).slice(0, KEY_DIGITS);
  const archive = parseHostPath(join(scratch, "image.tar"));
  onProgress("saving the image for packing");
  const saved = await engine.images.save([imageId], { signal });
  // The container that pushes may run as any user; the directory above is private.
  await pipeline(saved, createWriteStream(archive, { mode: 0o644, flags: "wx" }), { signal });
  await using registry = await openRegistry({ engine, id, cacheDir, ports, signal });
  await registry.push(archive, tag);
  await rm(archive);
  onProgress("packing the image: a machine is booted for it");
  const made = await runPack(input, registry.reference(tag));
  await takeOver(made, input.pack, scratch);
}

/** smolvm writes where its own user may; returns the file that `create --from` takes. */
async function runPack(input: PackInput, reference: string): Promise<string> {
  const { smolvm, stateDir, context } = input;
  const { access } = smolvm;
  const directory = parseHostPath(join(stateDir, "pack"));
  mkdirSync(directory, { mode: 0o700 });
  if (access.kind === "dropped") await chown(directory, access.uid, access.gid);
  const out = parseHostPath(join(directory, `image${PACK_SUFFIX}`));
  await smolvm.command(renderPack(reference, reach(access, out)), {
    what: "image not packed",
    timeoutMs: PACK_MS,
    signal: context.signal,
  });
  const file = `${out}${PACK_SUFFIX}`;
  if (existsSync(file) && lstatSync(file).isFile()) return file;
  throw new LaunchError("launch.image", `smolvm packed the image and left no ${file}`, {
    hint: "run bot-bottle doctor; this smolvm may be of another family",
  });
}

/** The state directory may lie on another file system than the cache. */
async function takeOver(made: string, pack: HostPath, scratch: HostPath): Promise<void> {
  const whole = join(scratch, "pack");
  try {
    await rename(made, whole);
  } catch (error) {
    if (systemCode(error) !== "EXDEV") throw error;
    await cp(made, whole, { verbatimSymlinks: true });
  }
  // Here nobody else writes: what was a file where smolvm's user writes may be a link by now.
  if (!lstatSync(whole).isFile())
    throw new LaunchError("launch.image", "smolvm's user replaced the pack");
  if (process.getuid?.() === 0) await chown(whole, 0, 0);
  // Below our private cache; smolvm as another user reads it through a mount of its own.
  await chmod(whole, 0o644);
  await rename(whole, pack);
}

async function touch(path: string, { ports }: PackInput["context"]): Promise<boolean> {
  try {
    const now = ports.clock.now() / 1000;
    await utimes(path, now, now);
    return true;
  } catch (error) {
    if (systemCode(error) === "ENOENT") return false;
    throw error;
  }
}

/** What killed launches left half-made counts as old. */
async function removeOldest(directory: string): Promise<void> {
  const found: { readonly path: string; readonly usedAt: number }[] = [];
  for (const name of await readdir(directory)) {
    const path = join(directory, name);
    found.push({ path, usedAt: (await stat(path)).mtimeMs });
  }
  found.sort((a, b) => b.usedAt - a.usedAt);
  for (const { path } of found.slice(KEPT_PACKS)) await rm(path, { recursive: true, force: true });
}
