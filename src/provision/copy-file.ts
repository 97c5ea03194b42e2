/**
 * Copies one file: a reflink where the file system can, holes kept where it cannot, never setuid bits. The target must not
 * exist yet.
 */
import { chmodSync, constants, copyFileSync, type Stats } from "node:fs";
import { copyFile, open } from "node:fs/promises";
import { systemCode } from "../base/errors.ts";

/** Files above this are copied by a worker thread instead of holding the event loop. */
const MAX_INLINE_BYTES: number = 512 * 1024;
const CHUNK_BYTES: number = 1024 * 1024;
const CLONE: number = constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL;
const CLONE_OR_FAIL: number = constants.COPYFILE_FICLONE_FORCE | constants.COPYFILE_EXCL;
/** What a file system answers that cannot clone. */
const NO_CLONE = new Set(["ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EXDEV", "EINVAL", "ENOTTY", "EPERM"]);

/** Copies the content; returns undefined when it is already done. */
export function copyFileContent(
  source: Buffer,
  target: Buffer,
  stats: Stats,
): Promise<void> | undefined {
  if (stats.size > MAX_INLINE_BYTES) {
    return isSparse(stats) ? copySparse(source, target, stats) : copyFile(source, target, CLONE);
  }
  copyFileSync(source, target, CLONE);
  return undefined;
}

/** Clears setuid, setgid and sticky bits where the source has any; the other bits were copied with the content. */
export function dropSpecialBits(target: Buffer, stats: Stats): void {
  if ((stats.mode & 0o7000) !== 0) chmodSync(target, stats.mode & 0o777);
}

function isSparse(stats: Stats): boolean {
  return stats.blocks * 512 < stats.size / 2;
}

/** Without a reflink a plain copy would fill the holes, and a small disk with them. */
async function copySparse(source: Buffer, target: Buffer, stats: Stats): Promise<void> {
  try {
    await copyFile(source, target, CLONE_OR_FAIL);
  } catch (error) {
    if (!NO_CLONE.has(systemCode(error) ?? "")) throw error;
    await copyBlocks(source, target, stats);
  }
}

async function copyBlocks(source: Buffer, target: Buffer, stats: Stats): Promise<void> {
  await using from = await open(source, constants.O_RDONLY | constants.O_NOFOLLOW);
  // A failed clone may have left its empty target.
  await using to = await open(
    target,
    constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC,
    0o600,
  );
  const chunk = Buffer.alloc(CHUNK_BYTES);
  const zeros = Buffer.alloc(CHUNK_BYTES);
  let position = 0;
  for (;;) {
    const { bytesRead } = await from.read(chunk, 0, CHUNK_BYTES, position);
    if (bytesRead === 0) break;
    const isHole = chunk.subarray(0, bytesRead).equals(zeros.subarray(0, bytesRead));
    if (!isHole) await to.writev([chunk.subarray(0, bytesRead)], position);
    position += bytesRead;
  }
  await to.truncate(position);
  await to.chmod(stats.mode & 0o777);
}
