/**
 * Copies of images outside the engine, for backends that run no containers: an archive or a root folder, named by the image's id,
 * below the cache of the operator's home. A copy appears whole by a rename or not at all.
 */
import { randomBytes } from "node:crypto";
import { createWriteStream } from "node:fs";
import { readdir, rename, rm, stat, utimes } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { type Clock, systemClock } from "../base/clock.ts";
import { BugError, HostError, LaunchError, messageOf, systemCode } from "../base/errors.ts";
import { type HostPath, parseHostPath } from "../base/ids.ts";
import { makeDirectory } from "../base/make-directory.ts";
import type { Engine } from "../engine/contract.ts";
import type { Exec } from "../process/exec.ts";
import { requireBinary } from "../process/find-binary.ts";
import { readOwner, readStartTime } from "../process/identity.ts";

/** Role of the container that an image's root is read from; it is never started. */
const EXPORT_ROLE = { "bot-bottle.role": "export" } as const;
/** Who made it: pid, start time, boot and pid namespace. */
const OWNER_LABEL = "bot-bottle.owner";
/** Copies of each kind that are kept: a copy takes up to a gigabyte. */
const KEPT_COPIES = 4;
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
  };
  return keepCopy(place, async (target) => {
    ports.onProgress("unpacking the image's root");
    makeDirectory(target, 0o755);
    await unpackRoot(id, target, ports);
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
}

async function keepCopy(
  { directory, name, clock }: Place,
  make: (target: string) => Promise<void>,
): Promise<HostPath> {
  const kept = parseHostPath(join(directory, name));
  makeDirectory(directory);
  if (await touch(kept, clock)) return kept;
  const target = join(directory, `.new-${name}-${randomBytes(4).toString("hex")}`);
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
  await removeOldest(directory);
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

/** Half-made copies of processes that were killed count as old ones. */
async function removeOldest(directory: string): Promise<void> {
  const found: { readonly path: string; readonly usedAt: number }[] = [];
  for (const name of await readdir(directory)) {
    const path = join(directory, name);
    found.push({ path, usedAt: (await stat(path)).mtimeMs });
  }
  found.sort((a, b) => b.usedAt - a.usedAt);
  for (const { path } of found.slice(KEPT_COPIES)) await rm(path, { recursive: true, force: true });
}

async function unpackRoot(id: string, target: string, ports: StorePorts): Promise<void> {
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
      Labels: { ...EXPORT_ROLE, [OWNER_LABEL]: Object.values(readOwner()).join(" ") },
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
  const { boot_id: boot, pid_namespace: namespace } = readOwner();
  for (const { Id, Labels } of await engine.containers.list(EXPORT_ROLE)) {
    const [pid, started, itsBoot, itsNamespace] = (Labels[OWNER_LABEL] ?? "").split(" ");
    if (started === undefined || itsNamespace === undefined) continue;
    const isOfThisBoot = itsBoot === boot && itsNamespace === namespace;
    const isLeft = isOfThisBoot ? readStartTime(Number(pid)) !== started : itsBoot !== boot;
    if (isLeft) await engine.containers.remove(Id);
  }
}

function asDiskFull(error: unknown, directory: string): unknown {
  if (systemCode(error) !== "ENOSPC") return error;
  return new HostError("host.disk-full", `the image could not be copied to ${directory}`, {
    cause: error,
    hint: "free disk space, or set BOT_BOTTLE_HOME to a larger disk",
  });
}
