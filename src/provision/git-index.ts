/**
 * What a git index says, without what it remembers of the files' times: `git status` rewrites those, and nobody's work is in
 * them. The index may be hostile; whatever is not plainly understood has no digest.
 */
import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { systemCode } from "../base/errors.ts";

/** Half a million entries; a larger index is compared as a file. */
const MAX_INDEX_BYTES: number = 64 * 1024 * 1024;
const HEADER_BYTES = 12;
/** ctime, mtime, device and inode. */
const TIMES_BYTES = 24;
/** Up to the name: times, mode, uid, gid, size, 20 bytes of object id, flags. */
const ENTRY_BYTES = 62;
const CHECKSUM_BYTES = 20;
/** Extensions that are only caches; any other one may say something. */
const CACHES = new Set(["TREE", "UNTR", "FSMN", "EOIE", "IEOT"]);

/** Digest of the entries (mode, object, flags, name), or undefined where there is no index or it is of an unusual kind. */
export async function digestGitIndex(path: string): Promise<string | undefined> {
  const bytes = await readBounded(path);
  return bytes === undefined ? undefined : digestEntries(bytes);
}

/** Digests an index of version 2 or 3 with SHA-1 names; undefined for anything else. */
export function digestEntries(bytes: Buffer): string | undefined {
  if (bytes.length < HEADER_BYTES + CHECKSUM_BYTES || bytes.toString("latin1", 0, 4) !== "DIRC") {
    return undefined;
  }
  const version = bytes.readUInt32BE(4);
  const count = bytes.readUInt32BE(8);
  if (version !== 2 && version !== 3) return undefined;
  const hash = createHash("sha256");
  const end = bytes.length - CHECKSUM_BYTES;
  let at = HEADER_BYTES;
  for (let i = 0; i < count; i++) {
    const next = nextEntry(bytes, at, end);
    if (next === undefined) return undefined;
    hash.update(bytes.subarray(at + TIMES_BYTES, at + TIMES_BYTES + 4));
    hash.update(bytes.subarray(at + 40, next));
    at = next;
  }
  return hasOnlyCaches(bytes, at, end) ? hash.digest("hex") : undefined;
}

/** Entries end with one to eight NUL bytes, to a multiple of eight. */
function nextEntry(bytes: Buffer, at: number, end: number): number | undefined {
  if (at + ENTRY_BYTES > end) return undefined;
  const isExtended = (bytes.readUInt16BE(at + 60) & 0x4000) !== 0;
  const name = at + ENTRY_BYTES + (isExtended ? 2 : 0);
  const nul = bytes.indexOf(0, name);
  if (nul <= name || nul >= end) return undefined;
  const next = at + ((nul - at + 8) & ~7);
  return next <= end && bytes.subarray(nul, next).every((byte) => byte === 0) ? next : undefined;
}

function hasOnlyCaches(bytes: Buffer, start: number, end: number): boolean {
  let at = start;
  while (at + 8 <= end) {
    if (!CACHES.has(bytes.toString("latin1", at, at + 4))) return false;
    at += 8 + bytes.readUInt32BE(at + 4);
  }
  return at === end;
}

async function readBounded(path: string): Promise<Buffer | undefined> {
  try {
    await using file = await open(
      path,
      constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK,
    );
    const stats = await file.stat();
    return stats.isFile() && stats.size <= MAX_INDEX_BYTES ? await file.readFile() : undefined;
  } catch (error) {
    if (systemCode(error) !== undefined) return undefined;
    throw error;
  }
}
