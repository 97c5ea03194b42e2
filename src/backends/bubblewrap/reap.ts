/** Ends and removes what a guest of a dead owner left. Tolerates that any of it is gone. */
import type { Clock } from "../../base/clock.ts";
import { ignore } from "../../base/log.ts";
import { isAlive, killIfSame } from "../../process/identity.ts";
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
  await waitUntilGone(resources, ports.clock);
  for (const directory of resources.cgroups) {
    await ignore(closeCgroup(directory, ports.clock), "the next cleanup tries again", ports.log);
  }
}

async function waitUntilGone(resources: GuestResources, clock: Clock): Promise<void> {
  const giveUpAt = clock.monotonic() + MAX_REAP_MS;
  const isThere = (): boolean =>
    resources.processes.some((identity) => identity.startTime !== "" && isAlive(identity));
  while (isThere() && clock.monotonic() < giveUpAt) await clock.sleep(REAP_STEP_MS);
}
