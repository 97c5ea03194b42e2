/**
 * Copies of images outside the engine, for backends that run no containers: an archive or a root folder, named by the image's id,
 * below the cache of the operator's home. A copy appears whole by a rename or not at all, and stays while a living process has taken
 * it.
 */
import { randomBytes } from "node:crypto";
import { createWriteStream } from "node:fs";
import { readdir, rename, rm, stat, utimes } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { type Clock, systemClock } from "../base/clock.ts";
import { BugError, HostError, LaunchError, messageOf, systemCode } from "../base/errors.ts";
import { type HostPath, parseHostPath } from "../base/ids.ts";
import { passingLabels, ROLE_LABEL } from "../base/labels.ts";
import { makeDirectory } from "../base/make-directory.ts";
import type { Engine } from "../engine/contract.ts";
import type { Exec } from "../process/exec.ts";
import { requireBinary } from "../process/find-binary.ts";
import { ownerState, readOwner } from "../process/identity.ts";
import { ownershipLabels, readOwnerLabel } from "../process/ownership.ts";
import { LEASES, Leases } from "./leases.ts";

/** Copies of each kind that are kept: a copy takes up to a gigabyte. */
const KEPT_COPIES = 4;
const NEW_PREFIX = ".new-";
/** A copy that is being made, or was when its maker was killed. */
const HALF_MADE = /^\.new-(.+)-[0-9a-f]{8}$/;
const IMAGE_ID = /^sha256:([0-9a-f]{64})$/;

export interface StorePorts {
  readonly engine: Engine;
  readonly exec: Exec;
  /** PATH of the operator, for finding tar. */
  readonly searchPath: string;
  readonly signal: AbortSignal | undefined;
  readonly clock?: Clock;
  /** Told when a copy has to be made, for people. */
  readonly onProgress: (detail: string) => void;
}

/** The image as an archive such as `docker save` makes. `id` is that of a resolved image. */
export async function saveImage(
  id: string,
  cacheDir: HostPath,
  ports: StorePorts,
): Promise<HostPath> {
  const place = {
    directory: join(cacheDir, "image-archives"),
    name: `${digestOf(id)}.tar`,
    clock: clockOf(ports),
    signal: ports.signal,
  };
  return keepCopy(place, async (target) => {
    ports.onProgress("saving the image as an archive");
    const archive = await ports.engine.images.save([id], { signal: ports.signal });
    await pipeline(archive, createWriteStream(target, { mode: 0o600, flags: "wx" }), {
      signal: ports.signal,
    });
  });
}

/** The image's root as a folder. Owners are kept where we are root; needs tar. */
export async function exportRootfs(
  id: string,
  cacheDir: HostPath,
  ports: StorePorts,
): Promise<HostPath> {
  const place = {
    directory: join(cacheDir, "image-roots"),
    name: digestOf(id),
    clock: clockOf(ports),
    signal: ports.signal,
  };
  return keepCopy(place, async (target) => {
    ports.onProgress("unpacking the image's root");
    makeDirectory(target, 0o755);
    await unpackRoot({ id, cacheDir, target }, ports);
  });
}

function digestOf(id: string): string {
  const [, digest] = IMAGE_ID.exec(id) ?? [];
  if (digest !== undefined) return digest;
  throw new BugError(`"${id}" is not the id of an image`);
}

const clockOf = ({ clock = systemClock }: StorePorts): Clock => clock;

interface Place {
  readonly directory: string;
  readonly name: string;
  readonly clock: Clock;
  readonly signal: AbortSignal | undefined;
}

async function keepCopy(
  { directory, name, clock, signal }: Place,
  make: (target: string) => Promise<void>,
): Promise<HostPath> {
  const kept = parseHostPath(join(directory, name));
  makeDirectory(directory);
  const leases = new Leases(directory, clock);
  await leases.take(name, signal);
  if (await touch(kept, clock)) return kept;
  const target = join(directory, `${NEW_PREFIX}${name}-${randomBytes(4).toString("hex")}`);
  try {
    await make(target);
    await settle(target, kept);
    // An unpacked root has the image's own time.
    await touch(kept, clock);
  } catch (error) {
    throw asDiskFull(error, directory);
  } finally {
    await rm(target, { recursive: true, force: true });
  }
  await removeOldest(directory, leases);
  return kept;
}

/** Marks a copy as used now; false when there is none. */
async function touch(path: string, clock: Clock): Promise<boolean> {
  try {
    const now = clock.now() / 1000;
    await utimes(path, now, now);
    return true;
  } catch (error) {
    if (systemCode(error) === "ENOENT") return false;
    throw error;
  }
}

/** Somebody else may have been faster with the same image: then theirs is as good. */
async function settle(target: string, kept: string): Promise<void> {
  try {
    await rename(target, kept);
  } catch (error) {
    const code = systemCode(error);
    if (code !== "ENOTEMPTY" && code !== "EEXIST") throw error;
  }
}

/** Half-made copies of processes that were killed count as old ones. What somebody has taken, or is making, stays. */
async function removeOldest(directory: string, leases: Leases): Promise<void> {
  const found: { readonly name: string; readonly usedAt: number }[] = [];
  for (const name of await readdir(directory)) {
    if (name !== LEASES) found.push({ name, usedAt: await usedAt(join(directory, name)) });
  }
  found.sort((a, b) => b.usedAt - a.usedAt);
  for (const { name } of found.slice(KEPT_COPIES)) {
    const [, making = name] = HALF_MADE.exec(name) ?? [];
    await leases.drop(making, () => rm(join(directory, name), { recursive: true, force: true }));
  }
}

/** When a copy was last used; one that is just gone is the oldest. */
async function usedAt(path: string): Promise<number> {
  try {
    return (await stat(path)).mtimeMs;
  } catch (error) {
    if (systemCode(error) === "ENOENT") return 0;
    throw error;
  }
}

interface Unpacking {
  readonly id: string;
  readonly cacheDir: HostPath;
  readonly target: string;
}

async function unpackRoot({ id, cacheDir, target }: Unpacking, ports: StorePorts): Promise<void> {
  const { engine, exec, signal } = ports;
  const tar = await requireBinary("tar", ports.searchPath);
  await removeLeftExports(engine);
  const name = `bot-bottle-export-${randomBytes(6).toString("hex")}`;
  const container = await engine.containers.create(
    name,
    {
      Image: id,
      // Never run, but an image need not have one of its own.
      Cmd: ["-"],
      Labels: passingLabels("export", ownershipLabels(cacheDir)),
      HostConfig: { NetworkMode: "none" },
    },
    { signal },
  );
  try {
    const root = await engine.containers.export(container, { signal });
    const argv = [tar, "-x", "-p", "--numeric-owner", "-f", "-", "-C", target];
    await using child = await exec.start(argv, { stdio: ["pipe", "ignore", "pipe"], signal });
    if (child.stdin === undefined) throw new BugError("tar was started without its input");
    const [fed, { exitCode }] = await Promise.all([
      pipeline(root, child.stdin, { signal }).then(() => undefined, messageOf),
      child.exited,
    ]);
    if (fed === undefined && exitCode === 0) return;
    const said = child.stderrTail().at(-1) ?? fed ?? `exit status ${exitCode}`;
    throw new LaunchError("launch.image", `the image's root could not be unpacked: ${said}`);
  } finally {
    await engine.containers.remove(container);
  }
}

/** Removes what processes left that were killed in the middle of this. */
async function removeLeftExports(engine: Engine): Promise<void> {
  const self = readOwner();
  for (const { Id, Labels } of await engine.containers.list({ [ROLE_LABEL]: "export" })) {
    const owner = readOwnerLabel(Labels);
    if (owner !== undefined && ownerState(owner, self) === "dead")
      await engine.containers.remove(Id);
  }
}

function asDiskFull(error: unknown, directory: string): unknown {
  if (systemCode(error) !== "ENOSPC") return error;
  return new HostError("host.disk-full", `the image could not be copied to ${directory}`, {
    cause: error,
    hint: "free disk space, or set BOT_BOTTLE_HOME to a larger disk",
  });
}
