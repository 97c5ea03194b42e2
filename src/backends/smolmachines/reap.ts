/** Ends and removes what a machine of a dead owner left. Tolerates that any of it is gone; a record's paths are only text. */
import { killIfSame } from "../../process/identity.ts";
import type { BackendPorts, GuestResources } from "../contract.ts";
import { isStateDir, removeBase, removeStateDir } from "./state-dir.ts";
import { findVmms, waitUntilGone } from "./vmm.ts";

/** Kinds of objects that a record names. */
export const OBJECTS = {
  machine: "smolvm-machine",
  state: "smolvm-state",
  /** The state directory as the machine sees it, which is in its arguments. */
  seenState: "smolvm-seen-state",
  base: "smolvm-base",
} as const;
const SEEN_STATE = /^\/tmp\/bot-bottle-seen-[0-9a-f]{16}\/\d{1,2}-smolvm$/;

/** Ends the processes of a record, then what else belongs to its machines. */
export async function reapMachines(resources: GuestResources, ports: BackendPorts): Promise<void> {
  for (const machine of resources.processes) killIfSame(machine, "SIGKILL");
  for (const machine of resources.processes) await waitUntilGone(machine, ports);
  await endMachines(resources.objects, ports);
}

/** Kills the machines whose state is named, then removes the state: smolvm's record of a machine goes with it. */
export async function endMachines(
  objects: GuestResources["objects"],
  ports: Pick<BackendPorts, "clock">,
): Promise<void> {
  const seen = (objects[OBJECTS.seenState] ?? []).filter(
    (path) => isStateDir(path) || SEEN_STATE.test(path),
  );
  const machines = seen.flatMap(findVmms);
  for (const machine of machines) killIfSame(machine, "SIGKILL");
  for (const machine of machines) await waitUntilGone(machine, ports);
  for (const path of objects[OBJECTS.state] ?? []) removeStateDir(path);
  for (const path of objects[OBJECTS.base] ?? []) removeBase(path);
}
