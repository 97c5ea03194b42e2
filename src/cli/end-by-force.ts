/** Ends a bottle whose owner does not end it: kills what the record names, by pid and start time, and keeps the work. */
import { systemClock } from "../base/clock.ts";
import { LaunchError } from "../base/errors.ts";
import { silentLogger } from "../base/log.ts";
import { findLeftovers, reap } from "../index.ts";
import { isAlive, killIfSame } from "../process/identity.ts";
import { createExec } from "../process/spawn.ts";
import { type BottleRecord, type ProcessRef, readRecord } from "../protocol/record.ts";
import type { CommandIo } from "./command.ts";

/** For killed processes to be gone, in milliseconds. */
const KILLED_MS = 5_000;
const POLL_MS = 50;

/** Kills guest, bundle and owner, then reaps as `cleanup` would. Throws LaunchError `launch.backend` when the owner stays. */
export async function endByForce(stateDir: string, slug: string, io: CommandIo): Promise<void> {
  const record = await readRecord(stateDir);
  if (record === undefined || record.owner === null) return;
  const { owner } = record;
  killAll(record);
  await waitUntilGone(owner, slug);
  const { home } = io.env;
  const ports = {
    exec: createExec(),
    clock: systemClock,
    log: silentLogger,
    searchPath: io.env.all["PATH"] ?? "",
    env: io.env.all,
  };
  for (const item of await findLeftovers(home))
    if (item.name === slug) await reap(item, home, ports);
  io.output.note(
    `bot-bottle: the owner of ${slug} (pid ${owner.pid}) did not end it and was killed, with guest and bundle; if its terminal is in disorder, run reset there`,
  );
}

/** The guest first, without a pause: an owner that wakes up meanwhile finds nothing to hand out. */
function killAll({ guest, bundle, owner }: BottleRecord): void {
  const all = [...guest.processes, ...bundle, ...(owner === null ? [] : [owner])];
  for (const ref of all) killIfSame({ pid: ref.pid, startTime: ref.start_time }, "SIGKILL");
}

async function waitUntilGone(owner: ProcessRef, slug: string): Promise<void> {
  const isThere = (): boolean => isAlive({ pid: owner.pid, startTime: owner.start_time });
  for (const until = systemClock.monotonic() + KILLED_MS; isThere(); ) {
    if (systemClock.monotonic() > until) {
      throw new LaunchError(
        "launch.backend",
        `bottle ${slug} did not end: its owner (pid ${owner.pid}) stays after SIGKILL`,
        { hint: "run it again as the user who started the bottle, then bot-bottle cleanup" },
      );
    }
    await systemClock.sleep(POLL_MS);
  }
}
