/**
 * Reads manifest files and their directories, bounded, and without promises: a turn through the thread pool takes longer than the
 * answer. A repository's file is hostile: it must be a regular file that lies, links resolved, inside the repository.
 */
import { createHash } from "node:crypto";
import {
  closeSync,
  constants,
  fstatSync,
  openSync,
  readdirSync,
  readSync,
  realpathSync,
} from "node:fs";
import { open, rename } from "node:fs/promises";
import { dirname, join } from "node:path";
import { ManifestError, messageOf, systemCode } from "../base/errors.ts";
import { makeDirectory } from "../base/make-directory.ts";
import type { HomePaths } from "../base/paths.ts";
import { contains } from "./host-paths.ts";
import { MAX_FILE_BYTES } from "./source.ts";
import { type Confirmation, parseConfirmations, renderConfirmations } from "./trust.ts";

/** Most names that are read of one directory. */
export const MAX_DIRECTORY_ENTRIES = 10_000;

/** A file's bytes and their SHA-256 in hex. */
export interface FileBytes {
  readonly bytes: Uint8Array;
  readonly digest: string;
}

/** Names in a directory, sorted; undefined when there is no such directory. */
export async function listNames(directory: string): Promise<readonly string[] | undefined> {
  try {
    const names = readdirSync(directory);
    return names.sort().slice(0, MAX_DIRECTORY_ENTRIES);
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw unreadable(directory, messageOf(error), error);
  }
}

function isAbsent(error: unknown): boolean {
  const code = systemCode(error);
  return code === "ENOENT" || code === "ENOTDIR";
}

/** The path with all links resolved; undefined when it does not exist. */
export async function resolveLinks(path: string): Promise<string | undefined> {
  try {
    return realpathSync.native(path);
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw unreadable(path, messageOf(error), error);
  }
}

/** Reads a whole file of at most {@link MAX_FILE_BYTES}; with `within`, only if it lies inside that directory. */
export async function readManifestFile(path: string, within?: string): Promise<FileBytes> {
  const real = await resolveLinks(path);
  if (real === undefined) throw unreadable(path, "there is no such file");
  if (within !== undefined && !contains((await resolveLinks(within)) ?? within, real)) {
    throw unreadable(path, "it leads outside the repository; a file inside it is expected");
  }
  return readBounded(path, real);
}

/** Opening must neither follow a link that appeared meanwhile nor wait for the writer of a pipe. */
function readBounded(path: string, real: string): FileBytes {
  let fd: number;
  try {
    fd = openSync(real, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    throw unreadable(path, messageOf(error), error);
  }
  try {
    const info = fstatSync(fd);
    if (!info.isFile()) throw unreadable(path, "it is not a regular file");
    const buffer = Buffer.alloc(Math.min(info.size, MAX_FILE_BYTES) + 1);
    const length = fill(fd, buffer);
    if (length > MAX_FILE_BYTES) {
      throw unreadable(
        path,
        `it has more than ${MAX_FILE_BYTES} bytes; a shorter file is expected`,
      );
    }
    const bytes = buffer.subarray(0, length);
    return { bytes, digest: createHash("sha256").update(bytes).digest("hex") };
  } finally {
    closeSync(fd);
  }
}

function fill(fd: number, buffer: Buffer): number {
  let length = 0;
  while (length < buffer.length) {
    const read = readSync(fd, buffer, length, buffer.length - length, length);
    if (read === 0) break;
    length += read;
  }
  return length;
}

function unreadable(path: string, why: string, cause?: unknown): ManifestError {
  return new ManifestError("manifest.unreadable", `manifest not read: ${path}: ${why}`, {
    hint: `check ${path}`,
    cause,
  });
}

const confirmedFile = (home: HomePaths): string => join(home.home, "confirmed.json");

/** Repository agents that the operator has confirmed. */
export async function readConfirmations(home: HomePaths): Promise<readonly Confirmation[]> {
  const file = confirmedFile(home);
  if ((await resolveLinks(file)) === undefined) return [];
  const { bytes } = await readManifestFile(file);
  return parseConfirmations(new TextDecoder().decode(bytes), file);
}

/** Keeps a confirmation, so that the same bytes are not asked about again. */
export async function saveConfirmation(home: HomePaths, confirmation: Confirmation): Promise<void> {
  const file = confirmedFile(home);
  const text = renderConfirmations([...(await readConfirmations(home)), confirmation]);
  makeDirectory(dirname(file));
  await writeWhole(file, text);
}

/** Written beside and renamed, so that a reader sees the old file or the new one. */
async function writeWhole(file: string, text: string): Promise<void> {
  const temporary = `${file}.new`;
  const handle = await open(temporary, "w", 0o600);
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(temporary, file);
}
