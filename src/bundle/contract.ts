/** The bundle as its owner sees it: a plan (pure), a host that launches it, a handle. */

import type { AttachmentValues, NetworkPlan } from "../backends/contract.ts";
import type { Clock } from "../base/clock.ts";
import type { BottleId, HostPath } from "../base/ids.ts";
import type { Logger } from "../base/log.ts";
import type { Secrets } from "../base/secret.ts";
import type { Exec } from "../process/exec.ts";
import type { AuditEvent } from "../protocol/audit.ts";
import type { DaemonName } from "../protocol/bundle.ts";

/** Most restarts in RESTART_WINDOW_MS before the bottle is closed. */
export const MAX_RESTARTS = 3;
export const RESTART_WINDOW_MS = 60_000;
/** How long the bundle may take until every door accepts. */
export const READY_DEADLINE_MS = 15_000;

export interface DaemonPlan {
  readonly name: DaemonName;
  /** Without values known only after an effect (the authority's certificate). */
  readonly config: unknown;
  /** Slots whose values this daemon gets. */
  readonly secretSlots: readonly string[];
  /** Socket name in the doors directory, `proxy.sock`. */
  readonly socket: string;
}

export interface BundlePlan {
  readonly id: BottleId;
  /** `container` only where the guest cannot reach the host's sockets. */
  readonly host: "process" | "container";
  /** With `container`: the network that the bundle shares with the guest. */
  readonly network: NetworkPlan | undefined;
  /** With `tsi`: ports are published on an address of the host's loopback that is this bottle's alone. */
  readonly publish: "none" | "loopback-alias";
  readonly daemons: readonly DaemonPlan[];
  readonly doorsDir: HostPath;
  readonly queueDir: HostPath;
  readonly auditFile: HostPath;
  readonly logFile: HostPath;
  readonly nodePath: HostPath;
  readonly entryPath: HostPath;
  readonly cacheDir: HostPath;
}

export interface BundlePorts {
  readonly exec: Exec;
  readonly clock: Clock;
  readonly log: Logger;
  readonly searchPath: string;
  /** The operator's environment, for finding the container engine. */
  readonly env: Readonly<Record<string, string | undefined>>;
}

export interface BundleResources {
  /** Names of engine objects, by kind: `container`, `network`. */
  readonly objects?: Readonly<Record<string, readonly string[]>>;
  readonly processes: readonly { readonly pid: number; readonly startTime: string }[];
}

/** `network`: the plan's network stands; `joined`: the bundle's container is on it, its doors may still be closed. */
export type BundleStage = "network" | "joined";

export interface BundleContext {
  readonly ports: BundlePorts;
  readonly secrets: Secrets;
  /** Values known only after an effect, laid over each daemon's config. */
  readonly configOverlay: Readonly<Partial<Record<DaemonName, Readonly<Record<string, unknown>>>>>;
  readonly signal: AbortSignal | undefined;
  readonly onEvent: (event: AuditEvent) => void;
  readonly onProgress: (detail: string) => void;
  readonly onResources: (resources: BundleResources) => Promise<void>;
  /** Told about each restart; the reason is for people. */
  readonly onRestart: (reason: string) => void;
  /** Told that a daemon has another configuration from now on. */
  readonly onReloaded?: (name: DaemonName, config: unknown) => void;
  /** Told that the audit log cannot be written any more, or can again; the detail is for people. */
  readonly onAudit?: (state: "failed" | "recovered", detail: string) => void;
  /** Told that an upstream refused the value of a slot. */
  readonly onCredentialRefused?: (slot: string) => void;
  /** With `container`: told how far the first life has come, so that the guest comes up meanwhile. */
  readonly onStage?: (stage: BundleStage) => void;
  /** With `container`: told why its launch will fail, before the network is removed that the guest may be on already. */
  readonly onFailing?: (error: unknown) => void;
}

/** A running bundle. Disposing stops it within its grace: nothing of it runs after. */
export interface BundleHandle extends AsyncDisposable {
  /**
   * Settles when an engine has removed, after the end, what held it: nobody has to wait for that but a process that ends. Rejects
   * with what kept it from that. Absent where nothing is left to be removed.
   */
  readonly gone?: Promise<void>;
  /** Pid of the process that holds the daemons. */
  readonly pid: number;
  /** Where the guest reaches the doors, where that is not a socket. */
  readonly attachment?: AttachmentValues;
  /** Rejects with SidecarError when it died for good; resolves when it was closed. */
  readonly closed: Promise<void>;
  reload(name: DaemonName, config: unknown): Promise<void>;
  /** Replaces values of slots under the configuration in force, without closing anything. */
  renew(name: DaemonName, secrets: Secrets): Promise<void>;
}

/** Launches a bundle; resolves when every door accepts. */
export interface BundleHost {
  launch(plan: BundlePlan, context: BundleContext): Promise<BundleHandle>;
}
