/** Connects a command to the owner of a bottle that the operator named. */
import { systemClock } from "../base/clock.ts";
import { UsageError } from "../base/errors.ts";
import { parseBottleId } from "../base/ids.ts";
import { type BottleConnection, connectBottle } from "../index.ts";
import type { CommandIo } from "./command.ts";
import { findRunning } from "./slugs.ts";

/** The record says "running" a moment before the owner listens: so often it is tried again, this many milliseconds apart. */
const TRIES = 40;
const PAUSE_MS = 50;

/** Connects to the running bottle that `text` means. Throws UsageError when there is none. */
export async function connectTo(
  text: string,
  { env, signal }: CommandIo,
): Promise<BottleConnection> {
  for (let left = TRIES; ; left -= 1) {
    const { slug } = await findRunning(env.home, text);
    try {
      return await connectBottle(env.home, parseBottleId(slug));
    } catch (error) {
      const isNotYet = error instanceof UsageError && error.code === "usage.not-running";
      if (!isNotYet || left === 0) throw error;
    }
    await systemClock.sleep(PAUSE_MS, signal);
  }
}
