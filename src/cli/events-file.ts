/** `--events FILE`: steps and decisions as JSON lines. */
import { closeSync, openSync, writeFileSync } from "node:fs";
import { isoTime, systemClock } from "../base/clock.ts";
import { messageOf, systemCode, UsageError } from "../base/errors.ts";
import type { EventHub } from "../index.ts";

export interface EventsFile extends AsyncDisposable {
  /** Resolves when everything so far is written. */
  flush(): Promise<void>;
}

/**
 * Opens the file for appending and follows the hub until it ends, or until a write fails: `note` is told so once, and nothing
 * else suffers. Throws UsageError when it cannot be opened.
 */
export async function openEventsFile(
  path: string | undefined,
  events: EventHub,
  note: (text: string) => void,
): Promise<EventsFile> {
  if (path === undefined)
    return { flush: () => Promise.resolve(), [Symbol.asyncDispose]: () => Promise.resolve() };
  const fd = openForAppend(path);
  const following = follow(fd, events).catch((error: unknown) => {
    const code = systemCode(error) ?? messageOf(error);
    note(`bot-bottle: --events "${path}" ends here: it cannot be written (${code})`);
  });
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
      { hint: "name a file in a directory that exists and that you may write", cause: error },
    );
  }
}

async function follow(fd: number, events: EventHub): Promise<void> {
  for await (const event of events.subscribe()) {
    const line = { time: isoTime(systemClock.now()), ...event };
    writeFileSync(fd, `${JSON.stringify(line)}\n`);
  }
}
