/** Chooses a backend by name and loads only that one. */
import { HostError } from "../base/errors.ts";
import { findBinary } from "../process/find-binary.ts";
import type { Backend, BackendName, BackendPorts } from "./contract.ts";

/** Loads a backend. Throws HostError `host.backend-unavailable` for the fake one, which only tests have. */
export async function openBackend(name: BackendName): Promise<Backend> {
  switch (name) {
    case "bubblewrap":
      return (await import("./bubblewrap/backend.ts")).bubblewrap;
    case "docker":
      return (await import("./docker/backend.ts")).docker;
    case "smolmachines":
      return (await import("./smolmachines/backend.ts")).smolmachines;
    case "fake":
      throw new HostError("host.backend-unavailable", "the fake backend is given by tests only", {
        hint: "start with --backend bubblewrap",
      });
  }
}

/**
 * The strongest backend that works here, without building anything: a microVM where smolvm is installed and its bounded boot
 * probe succeeded, then bubblewrap, which needs no daemon and no image, then docker. Undefined when none works.
 */
export async function strongestBackend(ports: BackendPorts): Promise<BackendName | undefined> {
  const hasSmolvm =
    ports.env["BOT_BOTTLE_SMOLVM"] !== undefined ||
    (await findBinary("smolvm", ports.searchPath)) !== undefined;
  const order: readonly BackendName[] = [...(hasSmolvm ? (["smolmachines"] as const) : [])];
  for (const name of order) {
    if ((await (await openBackend(name)).probe(ports)).isAvailable) return name;
  }
  // Whether it works is found out by its launch, which explains itself: a probe would cost every start.
  if (process.platform === "linux") return "bubblewrap";
  return (await (await openBackend("docker")).probe(ports)).isAvailable ? "docker" : undefined;
}
