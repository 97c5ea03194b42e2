/** Reads a growing file piece by piece, as `tail -f` does, without following a link. */
import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { systemClock } from "../base/clock.ts";
import { systemCode } from "../base/errors.ts";

const CHUNK_BYTES: number = 64 * 1024;
/** Pause between two looks at the file, in milliseconds. */
const POLL_MS = 200;

/** When to stop waiting for more. */
export interface FollowOptions {
  /** Absent: the file is read to its present end. Otherwise called at the end; true when nothing more will come. */
  readonly isOver?: () => Promise<boolean> | boolean;
  readonly signal: AbortSignal;
}

/** Pieces of a file from its start; none when it does not exist and is not followed. Ends quietly when the signal aborts. */
export async function* followFile(path: string, options: FollowOptions): AsyncGenerator<Buffer> {
  const handle = await openWhenThere(path, options);
  if (handle === undefined) return;
  try {
    let isLast = false;
    for (let position = 0; !options.signal.aborted; ) {
      const { buffer, bytesRead } = await handle.read(
        Buffer.allocUnsafe(CHUNK_BYTES),
        0,
        CHUNK_BYTES,
        position,
      );
      position += bytesRead;
      if (bytesRead > 0) yield buffer.subarray(0, bytesRead);
      else if (isLast) return;
      else isLast = await isAtEnd(options);
    }
  } finally {
    await handle.close();
  }
}

/** Waits for a change. True: what is there now is all there will be, so one more look is enough. */
async function isAtEnd({ isOver, signal }: FollowOptions): Promise<boolean> {
  if (isOver === undefined || (await isOver())) return true;
  await pause(signal);
  return false;
}

async function openWhenThere(
  path: string,
  options: FollowOptions,
): Promise<FileHandle | undefined> {
  while (!options.signal.aborted) {
    try {
      return await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    } catch (error) {
      if (systemCode(error) !== "ENOENT") throw error;
    }
    if (await isAtEnd(options)) return undefined;
  }
  return undefined;
}

async function pause(signal: AbortSignal): Promise<void> {
  try {
    await systemClock.sleep(POLL_MS, signal);
  } catch (error) {
    // The loop sees the signal itself.
    if (!signal.aborted) throw error;
  }
}
