/** `--events FILE`: steps and decisions as JSON lines. */
import { closeSync, openSync, writeSync } from "node:fs";
import { isoTime, systemClock } from "../base/clock.ts";
import { systemCode, UsageError } from "../base/errors.ts";
import type { EventHub } from "../index.ts";

export interface EventsFile extends AsyncDisposable {
  /** Resolves when everything so far is written. */
  flush(): Promise<void>;
}

/** Opens the file for appending and follows the hub until it ends. Throws UsageError when it cannot be opened. */
export async function openEventsFile(
  path: string | undefined,
  events: EventHub,
): Promise<EventsFile> {
  if (path === undefined)
    return { flush: () => Promise.resolve(), [Symbol.asyncDispose]: () => Promise.resolve() };
  const fd = openForAppend(path);
  const following = follow(fd, events);
  return {
    flush: () => following,
    [Symbol.asyncDispose]: async () => {
      events.end();
      await following;
      closeSync(fd);
    },
  };
}

function openForAppend(path: string): number {
  try {
    return openSync(path, "a", 0o600);
  } catch (error) {
    throw new UsageError(
      "usage.path",
      `--events "${path}" cannot be opened: ${systemCode(error) ?? "unknown"}`,
      { cause: error },
    );
  }
}

async function follow(fd: number, events: EventHub): Promise<void> {
  for await (const event of events.subscribe()) {
    writeSync(fd, `${JSON.stringify({ time: isoTime(systemClock.now()), ...event })}\n`);
  }
}
