/** Chooses a backend by name and loads only that one. */
import { HostError } from "../base/errors.ts";
import type { Backend, BackendName } from "./contract.ts";

/** Loads a backend. Throws HostError `host.backend-unavailable` for one that this version does not have. */
export async function openBackend(name: BackendName): Promise<Backend> {
  if (name === "bubblewrap") return (await import("./bubblewrap/backend.ts")).bubblewrap;
  throw new HostError(
    "host.backend-unavailable",
    `this version has no backend "${name}"; bubblewrap is expected`,
    { hint: "start with --backend bubblewrap" },
  );
}
