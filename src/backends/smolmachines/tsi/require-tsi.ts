/** Which smolvm serves the attachment `tsi`, and how its verbs take a machine's name. Pure. */
import { HostError } from "../../../base/errors.ts";
import { hasFlag, type SmolvmFeatures } from "../features.ts";
import { judgeVersion } from "../version.ts";

/** Flags without which no machine can be made as it must be. */
const REQUIRED = {
  create: ["from", "net", "allow-cidr", "cpus", "mem", "volume"],
  exec: ["tty"],
  status: ["json"],
} as const;
/** Releases of this family. */
export const TSI_VERSIONS = "0.8.0 to 1.0.1";

/** Throws HostError `host.backend-unavailable` for a smolvm of another family, or one that lacks a flag. */
export function requireTsi(features: SmolvmFeatures): void {
  const reason = explainNoTsi(features);
  if (reason === undefined) return;
  throw new HostError("host.backend-unavailable", `attachment tsi cannot be used: ${reason}`, {
    hint: `write attachment: auto into the bottle file, or install a smolvm of ${TSI_VERSIONS}`,
  });
}

/** Why this smolvm cannot filter a guest by address; undefined when it can. */
export function explainNoTsi(features: SmolvmFeatures): string | undefined {
  const { version } = features;
  const verdict = judgeVersion(version);
  if (verdict.kind === "refused") return verdict.reason;
  if (verdict.kind === "sockets")
    return `smolvm ${version} does not lead a guest to an address of the host's loopback; it has socket mounts, which are stronger`;
  const missing = Object.entries(REQUIRED).flatMap(([verb, flags]) =>
    flags
      .filter((flag) => features.flags[verb]?.includes(flag) !== true)
      .map((flag) => `machine ${verb} --${flag}`),
  );
  return missing.length === 0 ? undefined : `smolvm ${version} does not have ${missing.join(", ")}`;
}

/** Verbs whose machine is named here. */
type NamedVerb = "create" | "start" | "exec" | "status" | "stop" | "delete";

/** `NAME` where a verb takes it by position, `--name NAME` where it has that flag. */
export function nameArgs(
  features: SmolvmFeatures,
  verb: NamedVerb,
  machine: string,
): readonly string[] {
  return hasFlag(features, verb, "name") ? ["--name", machine] : [machine];
}
