/** Finds out whether this machine can run smolvm's machines, and if not, why and what to do. */
import { isAbsolute, join } from "node:path";
import { BottleError, HostError, messageOf } from "../../base/errors.ts";
import { type HostPath, parseHostPath } from "../../base/ids.ts";
import { HOME_DIRECTORY, homePaths } from "../../base/paths.ts";
import type { BackendPorts, BackendProbe, BackendSurvey, SurveyRequest } from "../contract.ts";
import { probeBoot } from "./boot-probe.ts";
import { explainUnfit, hasFlag, requireSockets, type SmolvmFeatures } from "./features.ts";
import type { LookAtKvm } from "./kvm.ts";
import { type FoundSmolvm, openSmolvm } from "./prepare.ts";
import { INSTALL_HINT } from "./program.ts";
import { explainNoTsi } from "./tsi/require-tsi.ts";

/** Looks at the machine for doctor. A machine is booted only where nothing seen before speaks against it. */
export async function probeSmolmachines(
  ports: BackendPorts,
  lookAtKvm: LookAtKvm,
): Promise<BackendProbe> {
  const cacheDir = cacheDirOf(ports.env);
  let found: FoundSmolvm;
  try {
    found = await openSmolvm(ports, cacheDir);
  } catch (error) {
    if (!(error instanceof BottleError)) throw error;
    return unavailable(messageOf(error), error.hint ?? INSTALL_HINT);
  }
  const unfit = explainUnfit(found.features);
  const { version } = found.features;
  const capabilities = describeFeatures(found);
  if (unfit !== undefined) {
    const hint = "update it: pip install --upgrade smolmachines";
    return { ...unavailable(unfit, hint), version, capabilities };
  }
  const answer = await probeBoot(found, {
    ports,
    cacheDir,
    lookAtKvm,
    onProgress: (detail) => ports.log.info(detail),
  });
  return {
    name: "smolmachines",
    isAvailable: answer.boots,
    version,
    reason: answer.boots ? undefined : answer.reason,
    hint: answer.boots ? undefined : answer.hint,
    capabilities: {
      ...capabilities,
      "virtual machine": answer.boots ? "a small one boots" : answer.reason,
    },
  };
}

/** How guests reach their doors. Throws HostError `host.backend-unavailable` where smolvm cannot be used for it. */
export async function surveySmolmachines(
  request: SurveyRequest,
  ports: BackendPorts,
): Promise<BackendSurvey> {
  if (request.attachment !== "auto" && request.attachment !== "sockets") {
    throw new HostError(
      "host.backend-unavailable",
      `smolmachines has no attachment "${request.attachment}" here; sockets is expected`,
      { hint: "write attachment: auto in the bottle" },
    );
  }
  const { features } = await openSmolvm(ports, request.cacheDir);
  requireSockets(features);
  return { attachment: "sockets", takenSubnets: [] };
}

function describeFeatures({ program, features }: FoundSmolvm): Readonly<Record<string, string>> {
  return {
    program: program.program,
    attachment: describeAttachment(features),
    image: hasFlag(features, "create", "user") ? "archive or folder" : "folder",
    "memory limit": "machine",
    "processes limit": "rlimit",
    "cpus limit": "machine, whole processors",
    "ends with its owner": endsWithOwner(features),
  };
}

/** The old family has to be asked for. */
function describeAttachment(features: SmolvmFeatures): string {
  if (explainUnfit(features) === undefined) return "sockets";
  return explainNoTsi(features) === undefined ? "tsi, where a bottle asks for it" : "none";
}

const endsWithOwner = (features: SmolvmFeatures): string =>
  hasFlag(features, "create", "stop-on-exit") ? "by smolvm" : "by switching itself off";

/** The cache of the operator's home; undefined where the environment does not tell it. */
function cacheDirOf(env: BackendPorts["env"]): HostPath | undefined {
  const home = env["HOME"];
  const own = env["BOT_BOTTLE_HOME"];
  const path = own || (home === undefined ? undefined : join(home, HOME_DIRECTORY));
  return path !== undefined && isAbsolute(path) ? homePaths(parseHostPath(path)).cache : undefined;
}

function unavailable(reason: string, hint: string): BackendProbe {
  return {
    name: "smolmachines",
    isAvailable: false,
    version: undefined,
    reason,
    hint,
    capabilities: {},
  };
}
