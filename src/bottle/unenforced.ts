/** What this version does not enforce: refused where a bottle would be weaker than its file says, noted where it would not. Pure. */
import type { AttachmentKind, BackendName } from "../backends/contract.ts";
import { ManifestError } from "../base/errors.ts";
import type { Manifest } from "../manifest/types.ts";

/** Attachments that a bottle has on docker. */
const ON_DOCKER: ReadonlySet<string> = new Set(["sockets", "internal"]);

/** Settings that are valid and would not be enforced: refused, so that no bottle is weaker than its file says. */
export function refuseUnenforced(
  manifest: Manifest,
  backend: BackendName,
  attachment: AttachmentKind,
): void {
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
    bottle.attachment !== "auto" && bottle.attachment !== attachment,
    `attachment: ${bottle.attachment} on ${backend}`,
    ON_DOCKER.has(bottle.attachment) && backend !== "docker"
      ? "write backend: docker, or attachment: auto"
      : "write attachment: auto",
  );
  refuse(
    bottle.runtime !== undefined && backend !== "docker" && backend !== "fake",
    `runtime: ${bottle.runtime ?? ""} on ${backend}`,
    "write backend: docker, or remove runtime from the bottle file",
  );
  refuse(
    bottle.limits.diskBytes !== undefined,
    "limits.disk",
    "remove limits.disk from the bottle file",
  );
}

/** Things worth saying before the start. */
export function resolveNotes(manifest: Manifest, backend: BackendName): readonly string[] {
  const notes: string[] = [];
  if (manifest.bottle.supervise)
    notes.push("supervise: requests to the operator are refused in this version");
  if (manifest.bottle.limits.processes !== undefined && manifest.bottle.runtime === "runsc")
    notes.push(
      "limits.processes: held by the container's group, which counts gVisor's own threads",
    );
  notes.push("scanned in what leaves: known secrets; no other detectors in this version");
  if (backend === "fake") notes.push("the fake backend isolates nothing");
  return notes;
}

/** What the manifest asks for and this version leaves out without making the bottle weaker than its guarantees. */
export function resolveWarnings(manifest: Manifest, backend: BackendName): readonly string[] {
  const { bottle } = manifest;
  const warnings = [...manifest.warnings];
  if (backend === "bubblewrap" && bottle.provider.dockerfile !== undefined)
    warnings.push("dockerfile is not used: bubblewrap shows the host's /usr instead of an image");
  if (bottle.attachment === "tsi")
    warnings.push(
      "attachment tsi filters by address only: the guest reaches what listens on every address of this machine",
    );
  if (bottle.egress.pipelock === "auto") warnings.push("pipelock: auto is off in this version");
  for (const { host, dlp } of bottle.egress.routes) {
    const extra = (dlp.outboundDetectors === false ? [] : (dlp.outboundDetectors ?? [])).filter(
      (name) => name !== "known_secrets",
    );
    if (extra.length > 0)
      warnings.push(`${host}: outbound detectors not in this version: ${extra.join(", ")}`);
    if (
      dlp.inboundOnMatch !== undefined ||
      (Array.isArray(dlp.inboundDetectors) && dlp.inboundDetectors.length > 0)
    )
      warnings.push(`${host}: answers are not scanned for injections in this version`);
  }
  return warnings;
}
