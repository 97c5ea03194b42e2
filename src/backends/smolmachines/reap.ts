/** Ends and removes what a machine of a dead owner left. Tolerates that any of it is gone; a record's paths are only text. */
import { killIfSame } from "../../process/identity.ts";
import type { BackendPorts, GuestResources } from "../contract.ts";
import { isStateDir, removeBase, removeStateDir } from "./state-dir.ts";
import { findProcesses, waitUntilGone } from "./vmm.ts";

/** Kinds of objects that a record names. */
export const OBJECTS = {
  machine: "smolvm-machine",
  state: "smolvm-state",
  /** The state directory as the machine sees it, which is in its arguments. */
  seenState: "smolvm-seen-state",
  base: "smolvm-base",
} as const;
/** A command may have started a machine after we looked; killed, it starts no other. */
const MAX_ROUNDS = 3;
const SEEN_STATE = /^\/tmp\/bot-bottle-seen-[0-9a-f]{16}\/\d{1,2}-smolvm$/;

/** Ends the processes of a record, then what else belongs to its machines. */
export async function reapMachines(resources: GuestResources, ports: BackendPorts): Promise<void> {
  for (const machine of resources.processes) killIfSame(machine, "SIGKILL");
  for (const machine of resources.processes) await waitUntilGone(machine, ports);
  await endMachines(resources.objects, ports);
}

/** Kills the machines whose state is named and the commands that work on it, then removes the state: smolvm's record of a machine goes with it. */
export async function endMachines(
  objects: GuestResources["objects"],
  ports: Pick<BackendPorts, "clock">,
): Promise<void> {
  const seen = (objects[OBJECTS.seenState] ?? []).filter(
    (path) => isStateDir(path) || SEEN_STATE.test(path),
  );
  for (let round = 0; round < MAX_ROUNDS; round += 1) {
    const found = seen.flatMap(findProcesses);
    if (found.length === 0) break;
    for (const one of found) killIfSame(one, "SIGKILL");
    for (const one of found) await waitUntilGone(one, ports);
  }
  for (const path of objects[OBJECTS.state] ?? []) removeStateDir(path);
  for (const path of objects[OBJECTS.base] ?? []) removeBase(path);
}
