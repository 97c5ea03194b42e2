/** Ends and removes what a guest of a dead owner left. Tolerates that any of it is gone. */
import type { Clock } from "../../base/clock.ts";
import { ignore } from "../../base/log.ts";
import { isAlive, killIfSame, type ProcessIdentity } from "../../process/identity.ts";
import type { BackendPorts, GuestResources } from "../contract.ts";
import { closeCgroup } from "./cgroup.ts";

/** Time for killed processes to be gone; a kill is immediate unless a process hangs in the kernel. */
const MAX_REAP_MS = 3_000;
const REAP_STEP_MS = 20;

/** Kills the processes that are still the same ones, then empties and removes the control groups. */
export async function reapBubblewrap(
  resources: GuestResources,
  ports: BackendPorts,
): Promise<void> {
  for (const identity of resources.processes) killIfSame(identity, "SIGKILL");
  await waitUntilGone(resources.processes, ports.clock);
  for (const directory of resources.cgroups) {
    await ignore(closeCgroup(directory, ports.clock), "the next cleanup tries again", ports.log);
  }
}

/** Waits, within a bound, until processes that were killed are gone: with a first process, all of its namespace is. */
export async function waitUntilGone(
  processes: readonly ProcessIdentity[],
  clock: Clock,
): Promise<void> {
  const giveUpAt = clock.monotonic() + MAX_REAP_MS;
  const isThere = (): boolean =>
    processes.some((identity) => identity.startTime !== "" && isAlive(identity));
  while (isThere() && clock.monotonic() < giveUpAt) await clock.sleep(REAP_STEP_MS);
}
