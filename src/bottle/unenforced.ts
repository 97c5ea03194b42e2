/** What this version does not enforce: refused where a bottle would be weaker than its file says, noted where it would not. Pure. */
import type { BackendName } from "../backends/contract.ts";
import { ManifestError } from "../base/errors.ts";
import type { Manifest } from "../manifest/types.ts";

/** Settings that are valid and would not be enforced: refused, so that no bottle is weaker than its file says. */
export function refuseUnenforced(manifest: Manifest, backend: BackendName): void {
  const { bottle } = manifest;
  const refuse = (isAsked: boolean, what: string, remedy: string): void => {
    if (!isAsked) return;
    throw new ManifestError(
      "manifest.unsupported",
      `${what} is not available in this version, so the bottle is refused`,
      { hint: remedy },
    );
  };
  refuse(
    bottle.gitRepos.length > 0,
    "git-gate.repos",
    "remove git-gate.repos from the bottle file",
  );
  refuse(bottle.egress.pipelock === "required", "egress.pipelock: required", "write pipelock: off");
  refuse(
    bottle.provider.forwardHostCredentials,
    "agent_provider.forward_host_credentials",
    "use agent_provider.auth_token",
  );
  refuse(
    bottle.attachment !== "auto" && bottle.attachment !== "sockets",
    `attachment: ${bottle.attachment}`,
    "write attachment: auto",
  );
  refuse(
    bottle.runtime !== undefined && backend === "bubblewrap",
    `runtime: ${bottle.runtime ?? ""} on bubblewrap`,
    "remove runtime from the bottle file",
  );
  refuse(
    bottle.limits.diskBytes !== undefined,
    "limits.disk",
    "remove limits.disk from the bottle file",
  );
}

/** Things worth saying before the start. */
export function resolveNotes(manifest: Manifest, backend: BackendName): readonly string[] {
  const { bottle } = manifest;
  const notes = [...manifest.warnings];
  if (backend === "bubblewrap" && bottle.provider.dockerfile !== undefined)
    notes.push("dockerfile is not used: bubblewrap shows the host's /usr instead of an image");
  if (bottle.egress.pipelock === "auto") notes.push("pipelock: auto is off in this version");
  if (bottle.supervise)
    notes.push("supervise: requests to the operator are refused in this version");
  notes.push("scanned in what leaves: known secrets; no other detectors in this version");
  if (backend === "fake") notes.push("the fake backend isolates nothing");
  return notes;
}
