/** Decides what one bottle's bundle consists of: daemons, secret slots, sockets, files. Pure; holds slot names, no values. */
import type { AttachmentKind, NetworkPlan } from "../backends/contract.ts";
import { type BottleId, type HostPath, parseHostPath } from "../base/ids.ts";
import type { BottlePaths } from "../base/paths.ts";
import { CA_KEY_SLOT, type EgressConfig } from "../policy/egress.ts";
import type { BundlePlan } from "./contract.ts";

/** File in the bottle's log directory that holds what the bundle writes to stderr. */
export const BUNDLE_LOG_NAME = "bundle.log";
/** Socket of the guest's proxy in the doors directory. */
export const PROXY_SOCKET_NAME = "proxy.sock";

export interface BundlePlanInput {
  readonly id: BottleId;
  readonly paths: Pick<BottlePaths, "doors" | "queue" | "audit" | "logs">;
  readonly nodePath: HostPath;
  readonly attachment: AttachmentKind;
  /** Undefined with `sockets`: the bundle is a process of the host then. */
  readonly network: NetworkPlan | undefined;
  readonly cacheDir: HostPath;
  /** The built bundle, one self-contained file. */
  readonly entryPath: HostPath;
  /** Without the authority's certificate, which the launch makes. */
  readonly egress: Omit<EgressConfig, "caCertificate">;
}

/** Plans the bundle of one bottle. */
export function planBundle(input: BundlePlanInput): BundlePlan {
  const { paths, egress } = input;
  return {
    id: input.id,
    host: input.network === undefined ? "process" : "container",
    network: input.network,
    publish: input.attachment === "tsi" ? "loopback-alias" : "none",
    cacheDir: input.cacheDir,
    daemons: [
      {
        name: "egress",
        config: egress,
        secretSlots: egressSlots(egress),
        socket: PROXY_SOCKET_NAME,
      },
    ],
    doorsDir: paths.doors,
    queueDir: paths.queue,
    auditFile: paths.audit,
    logFile: parseHostPath(`${paths.logs}/${BUNDLE_LOG_NAME}`),
    nodePath: input.nodePath,
    entryPath: input.entryPath,
  };
}

/** Slots whose values egress needs: the authority's key, what it injects, what it searches for. */
function egressSlots(egress: BundlePlanInput["egress"]): readonly string[] {
  const injected = egress.policy.routes.flatMap((route) => route.auth?.slot ?? []);
  return [...new Set([CA_KEY_SLOT, ...injected, ...egress.scanSlots])];
}
