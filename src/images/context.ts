/**
 * Reads a build context: first all names, modes and digests, then, where a build is needed, the same bytes as a tar. What changed
 * between the two ends the build, so that an image never carries the key of other content.
 */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { lstat, readdir, readFile, readlink, stat } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { LaunchError, messageOf, systemCode } from "../base/errors.ts";
import { type HostPath, parseHostPath } from "../base/ids.ts";
import { requireBuildCa } from "./build-faults.ts";
import type { BuildPlan, ContextEntry, ContextFile } from "./contract.ts";
import { type Ignore, parseDockerignore } from "./dockerignore.ts";
import { BUILD_CA_FILE } from "./resolve-build.ts";
import { encodeTar } from "./tar.ts";

/** Bytes of a context: far above any sources, below a home directory that was meant to be one of its folders. */
export const MAX_CONTEXT_BYTES: number = 512 * 1024 * 1024;
/** Entries of a context, for the same reason. */
export const MAX_CONTEXT_ENTRIES = 50_000;

type FileEntry = Extract<ContextEntry, { kind: "file" }>;

/** What is being read, and how much of it so far. */
interface Reading {
  readonly build: BuildPlan;
  readonly signal: AbortSignal | undefined;
  readonly entries: ContextEntry[];
  bytes: number;
}

/** All entries of the context, sorted by path. Throws LaunchError `launch.image` when it cannot be read or is too large. */
export async function readContext(
  build: BuildPlan,
  signal: AbortSignal | undefined,
): Promise<readonly ContextEntry[]> {
  const reading: Reading = { build, signal, entries: [], bytes: 0 };
  for (const file of build.files) await readNamed(reading, file);
  if (build.directory !== undefined) {
    const named = new Set(build.files.map((file) => file.path));
    const ignores = await readIgnore(build, build.directory);
    const skips: Ignore = (path) => named.has(path) || ignores(path);
    await readDirectory(reading, "", { root: build.directory, skips });
  }
  return reading.entries.sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** The tar of entries that were read before. It ends in an error when a file is no longer what it was. */
export function openContext(entries: readonly ContextEntry[]): Readable {
  return Readable.from(encodeTar(entries, unchangedContent), { objectMode: false });
}

async function readNamed(reading: Reading, { path, hostPath }: ContextFile): Promise<void> {
  if (path === BUILD_CA_FILE) requireBuildCa(hostPath);
  const info = await reach(reading.build, hostPath, () => stat(hostPath));
  if (!info.isFile()) throw unusable(reading.build, `${hostPath} is not a file`);
  await addFile(reading, { path, hostPath, mode: modeOf(info.mode), size: info.size });
}

interface Walk {
  readonly root: HostPath;
  readonly skips: Ignore;
}

async function readDirectory(reading: Reading, path: string, walk: Walk): Promise<void> {
  const directory = join(walk.root, path);
  const names = await reach(reading.build, directory, () => readdir(directory));
  for (const name of names.sort()) {
    const child = path === "" ? name : `${path}/${name}`;
    await readEntry(reading, child, walk);
  }
}

/** An ignored directory is looked into all the same: an exception may bring back what is below it. */
async function readEntry(reading: Reading, path: string, walk: Walk): Promise<void> {
  reading.signal?.throwIfAborted();
  const hostPath = parseHostPath(join(walk.root, path));
  const info = await reach(reading.build, hostPath, () => lstat(hostPath));
  const mode = modeOf(info.mode);
  const isSkipped = walk.skips(path);
  if (info.isDirectory()) {
    if (!isSkipped) add(reading, { kind: "directory", path, mode }, 0);
    await readDirectory(reading, path, walk);
  } else if (isSkipped) {
    return;
  } else if (info.isSymbolicLink()) {
    const target = await reach(reading.build, hostPath, () => readlink(hostPath));
    add(reading, { kind: "link", path, target }, 0);
  } else if (info.isFile()) {
    await addFile(reading, { path, hostPath, mode, size: info.size });
  }
}

/** Readable by the build whatever our umask was; whether it can be executed counts. */
function modeOf(mode: number): number {
  return (mode & 0o111) === 0 ? 0o644 : 0o755;
}

type Unread = Omit<FileEntry, "kind" | "digest">;

async function addFile(reading: Reading, file: Unread): Promise<void> {
  // The bound comes first: what is too large is not read.
  reading.bytes += file.size;
  checkBounds(reading);
  const hash = createHash("sha256");
  await reach(reading.build, file.hostPath, async () => {
    for await (const chunk of fileChunks(file)) hash.update(chunk);
  });
  add(reading, { kind: "file", ...file, digest: hash.digest("hex") }, 0);
}

function add(reading: Reading, entry: ContextEntry, bytes: number): void {
  reading.entries.push(entry);
  reading.bytes += bytes;
  checkBounds(reading);
}

function checkBounds({ build, entries, bytes }: Reading): void {
  if (bytes <= MAX_CONTEXT_BYTES && entries.length <= MAX_CONTEXT_ENTRIES) return;
  const bounds = `${MAX_CONTEXT_BYTES / 1024 / 1024} MiB and ${MAX_CONTEXT_ENTRIES} files`;
  const message = `its build context ${build.directory ?? ""} is larger than ${bounds}`;
  throw new LaunchError("launch.image", `image "${build.tag}" cannot be built: ${message}`, {
    hint: `put ${build.source} into a directory of its own, or a .dockerignore beside it`,
  });
}

async function* fileChunks({ hostPath, size }: Unread): AsyncGenerator<Uint8Array> {
  let seen = 0;
  for await (const chunk of createReadStream(hostPath)) {
    if (!(chunk instanceof Uint8Array)) continue;
    seen += chunk.length;
    if (seen > size) break;
    yield chunk;
  }
  if (seen !== size) throw changed(hostPath);
}

async function* unchangedContent(entry: FileEntry): AsyncGenerator<Uint8Array> {
  const hash = createHash("sha256");
  for await (const chunk of fileChunks(entry)) {
    hash.update(chunk);
    yield chunk;
  }
  if (hash.digest("hex") !== entry.digest) throw changed(entry.hostPath);
}

async function readIgnore(build: BuildPlan, directory: HostPath): Promise<Ignore> {
  const file = join(directory, ".dockerignore");
  try {
    return parseDockerignore(await readFile(file, "utf8"), [".dockerignore"]);
  } catch (error) {
    if (systemCode(error) === "ENOENT") return () => false;
    throw unusable(build, `${file} cannot be read: ${messageOf(error)}`, error);
  }
}

async function reach<T>(build: BuildPlan, path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof LaunchError) throw error;
    throw unusable(build, `${path} cannot be read: ${messageOf(error)}`, error);
  }
}

function unusable(build: BuildPlan, why: string, cause?: unknown): LaunchError {
  return new LaunchError("launch.image", `image "${build.tag}" cannot be built: ${why}`, {
    cause,
    hint: `look at ${build.source}`,
  });
}

function changed(path: string): LaunchError {
  return new LaunchError("launch.image", `${path} changed while an image was built from it`, {
    hint: "run it again",
  });
}
