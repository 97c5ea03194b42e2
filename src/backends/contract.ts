/**
 * What a backend is. A backend realises a guest; it knows nothing of manifests, providers or policy. Backends never import
 * each other; bottle/ knows them only through this file and the registry.
 */

import type { Readable, Writable } from "node:stream";
import type { Clock } from "../base/clock.ts";
import type { BottleId, GuestPath, HostPath } from "../base/ids.ts";
import type { Logger } from "../base/log.ts";
import type { Exec, ExitStatus, StdioEntry } from "../process/exec.ts";
import type { Owner } from "../process/identity.ts";
import type { ArchiveEntry } from "../protocol/guest.ts";

export const BACKEND_NAMES = ["bubblewrap", "docker", "smolmachines", "fake"] as const;
export type BackendName = (typeof BACKEND_NAMES)[number];

/** How the guest reaches the doors. */
export type AttachmentKind = "sockets" | "internal" | "tsi";

/** Where the guest's root comes from on backends that run images. Pure: building or finding it is an effect of the launch. */
export type ImagePlan =
  /** The project's own Dockerfile of a provider, `bot-bottle-<template>:latest`. */
  | { readonly kind: "provider"; readonly template: string; readonly tag: string }
  /** The bottle's Dockerfile; its directory is the build context. */
  | { readonly kind: "dockerfile"; readonly dockerfile: HostPath; readonly tag: string }
  /** An image that exists already, by name or id: never built by us. */
  | { readonly kind: "reference"; readonly reference: string };

/** The private network of a bottle whose doors are on TCP (`internal`, `tsi`), derived from its slug. */
export interface NetworkPlan {
  readonly name: string;
  /** /24 in CIDR form. */
  readonly subnet: string;
  readonly gateway: string;
  /** Where the bundle is pinned, `.2`. */
  readonly bundleAddress: string;
  /** Subnets to take in turn where the engine says that this one overlaps another. */
  readonly alternatives?: readonly string[];
}

/** What is known of an attachment only once the bundle runs. */
export interface AttachmentValues {
  /** Door → where the guest reaches it. Absent where guest-init relays 127.0.0.1 to sockets. */
  readonly endpoints: Readonly<
    Partial<Record<DoorPlan["name"], { readonly host: string; readonly port: number }>>
  >;
}

/** One door in the guest: 127.0.0.1:`port`, known as `hostname`, led to the socket `name`.sock. */
export interface DoorPlan {
  readonly name: "proxy" | "git" | "supervise";
  readonly port: number;
  readonly hostname: string;
}

/** A host file or directory that the guest sees read-only. */
export interface MountPlan {
  readonly hostPath: HostPath;
  readonly guestPath: GuestPath;
}

/** Undefined: no limit of ours. */
export interface LimitsPlan {
  readonly memoryBytes: number | undefined;
  readonly processes: number | undefined;
  /** Processors, fractions allowed. */
  readonly cpus: number | undefined;
  /** Size of each tmpfs (/tmp, /run, /dev/shm). */
  readonly tmpfsBytes: number;
}

/** Everything a backend needs to create the guest. Pure data, no secret value, printable. */
export interface GuestPlan {
  readonly id: BottleId;
  readonly hostname: string;
  /** Host directories: guest's home and workspace (writable), its /etc and the doors (read-only). */
  readonly homeDir: HostPath;
  readonly workspaceDir: HostPath | undefined;
  /** May still be filling while the guest starts: it is bound, never copied. */
  readonly etcDir: HostPath;
  readonly doorsDir: HostPath;
  readonly logsDir: HostPath;
  readonly guestHome: GuestPath;
  readonly guestWorkspace: GuestPath | undefined;
  /** Directory of the doors' sockets in the guest. */
  readonly guestDoors: GuestPath;
  readonly doors: readonly DoorPlan[];
  readonly mounts: readonly MountPlan[];
  readonly limits: LimitsPlan;
  /** Unused host uid and gid that the guest runs as; undefined when we are an ordinary user. */
  readonly hostUid: number | undefined;
  /** Our Node and the built guest-init on the host. */
  readonly nodePath: HostPath;
  readonly guestInitPath: HostPath;
  /** The provider needs nested user namespaces. */
  readonly allowsUserNamespaces: boolean;
  /** How the doors are reached; `sockets` unless the backend needs TCP. */
  readonly attachment: AttachmentKind;
  /** Undefined on backends that show the host's /usr. */
  readonly image: ImagePlan | undefined;
  /** OCI runtime, docker only; undefined: the strongest that works. Never replaced by a weaker one when given. */
  readonly runtime: string | undefined;
  /** Undefined with `sockets`. */
  readonly network: NetworkPlan | undefined;
  /** Cache of the operator's home, for what can be made again: images, probes, packs. */
  readonly cacheDir: HostPath;
  /** What the guest's descriptors 0-2 are; only the primary session may use them. */
  readonly terminal: "shared" | "separate";
}

/** What a probe of the machine found for one backend. */
export interface BackendProbe {
  readonly name: BackendName;
  readonly isAvailable: boolean;
  readonly version: string | undefined;
  /** Why not, and the remedy, when it is unavailable. */
  readonly reason: string | undefined;
  readonly hint: string | undefined;
  /** Capability name → what was found, for `doctor`. */
  readonly capabilities: Readonly<Record<string, string>>;
}

/** Effects a backend may use. Nothing else is reached from a backend. */
export interface BackendPorts {
  readonly exec: Exec;
  readonly clock: Clock;
  readonly log: Logger;
  /** PATH of the operator, for finding programs. */
  readonly searchPath: string;
  /** The operator's environment, for finding engines (`DOCKER_HOST`, `BOT_BOTTLE_SMOLVM`); never passed on as it is. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /**
   * Given where nothing may be started, made or kept: told what would be tried out and what is taken for granted meanwhile.
   * Answers of earlier probes count.
   */
  readonly onSkipped?: ((what: string) => void) | undefined;
  /** Name of the home whose objects may be reaped on an engine; without it none is. */
  readonly homeId?: string | undefined;
}

/** What is asked of a backend before planning. */
export interface SurveyRequest {
  readonly attachment: "auto" | AttachmentKind;
  readonly runtime: string | undefined;
  readonly cacheDir: HostPath;
}

/** What planning needs to know of a backend on this machine, found out by looking and by probe containers. */
export interface BackendSurvey {
  /** How guests reach their doors here, given the request. */
  readonly attachment: AttachmentKind;
  /** Subnets in use, CIDR: the host's routes and the engine's networks. Empty with `sockets`. */
  readonly takenSubnets: readonly string[];
}

export interface SessionOptions {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: GuestPath;
  /** `inherit`: the guest's own descriptors (once, for the primary session). */
  readonly stdio: "inherit" | "pipe" | "null";
}

/** A program running in the guest. */
export interface Session {
  /** Pid inside the guest, for people. */
  readonly pid: number;
  /** Undefined unless stdio is `pipe`. */
  readonly stdin: Writable | undefined;
  readonly stdout: Readable | undefined;
  readonly stderr: Readable | undefined;
  /** Settles when the program has exited and its output is drained; rejects with LaunchError when the guest is gone. */
  readonly exited: Promise<ExitStatus>;
  kill(signal: NodeJS.Signals): void;
}

/** One entry of a copy; `content` only for files, exactly `size` bytes. */
export interface ArchiveItem {
  readonly entry: ArchiveEntry;
  readonly content: AsyncIterable<Uint8Array> | undefined;
}

/** Which mechanism holds which limit: `rlimit`, `cgroup v2`, `cgroup v1`, `systemd scope`, `watched`, or `none`. */
export interface LimitReport {
  readonly memory: string;
  readonly processes: string;
  readonly cpus: string;
}

export type ProbeTarget =
  | {
      readonly type: "tcp";
      readonly host: string;
      readonly port: number;
      readonly timeoutMs: number;
    }
  /** Without a host: the relay's door on the guest's own loopback. */
  | {
      readonly type: "door";
      readonly host?: string;
      readonly port: number;
      readonly timeoutMs: number;
    }
  | { readonly type: "interfaces" }
  /** A query to a name server on port 53. */
  | { readonly type: "dns"; readonly host: string; readonly timeoutMs: number }
  /** One datagram to 255.255.255.255. */
  | { readonly type: "broadcast"; readonly port: number };

/** A running guest. Disposing it ends every process in it and releases what the backend made. */
export interface Guest extends AsyncDisposable {
  /** Settles when the guest is gone, whoever ended it. */
  readonly exited: Promise<ExitStatus>;
  readonly limits: LimitReport;
  /** What the record keeps so that a reaper can end this guest: pids, cgroups, container names. */
  readonly resources: GuestResources;
  /** Starts a program. Throws LaunchError `launch.agent` with details.code ENOENT or EACCES when it cannot be executed. */
  session(options: SessionOptions): Promise<Session>;
  copyIn(
    root: GuestPath,
    items: AsyncIterable<ArchiveItem> | Iterable<ArchiveItem>,
  ): Promise<number>;
  copyOut(root: GuestPath): AsyncIterable<ArchiveItem>;
  /** Tries to reach something from inside: `connected`, `refused`, `unreachable`, `timeout`, `answered`, `sent`, or interface names. */
  probe(target: ProbeTarget): Promise<string>;
  /** Checks the isolation from outside (namespace links, the engine's own record); returns what is wrong, empty when nothing. */
  inspectIsolation(): Promise<readonly string[]>;
}

/** What is left behind if the owner dies now. */
export interface GuestResources {
  /** Host pids with start time, so that a reused pid is never killed. */
  readonly processes: readonly { readonly pid: number; readonly startTime: string }[];
  /** Directories to remove with rmdir (cgroups). */
  readonly cgroups: readonly HostPath[];
  /** Names of engine objects, by kind. */
  readonly objects: Readonly<Record<string, readonly string[]>>;
}

/** Something of a home's bottles on an engine, found by its labels. */
export interface EngineObject {
  readonly kind: "container" | "network" | "image";
  readonly id: string;
  readonly name: string;
  /** Its bottle's slug; empty for what only asked something and belongs to none. */
  readonly bottle: string;
  /** The process that made it; undefined where nothing says. */
  readonly owner: Owner | undefined;
}

export interface LaunchContext {
  readonly ports: BackendPorts;
  readonly signal: AbortSignal | undefined;
  /** Guest's environment for sessions: values included, so it travels over the init door only. */
  readonly guestEnv: Readonly<Record<string, string>>;
  /** The guest's descriptors 0-2. */
  readonly stdio: readonly [StdioEntry, StdioEntry, StdioEntry];
  /** Where the guest reaches its doors; undefined with `sockets`: the guest needs nothing of the bundle to start. */
  readonly attachment: AttachmentValues | undefined;
  /** With `internal`: settles when the plan's network stands. Until then the guest may be prepared, not started. */
  readonly network?: Promise<void>;
  /** Told what a slow step is doing, for people: an image being built, a machine booting. */
  readonly onProgress: (detail: string) => void;
  /** Records resources the moment they exist, before anything can fail. */
  readonly onResources: (resources: GuestResources) => Promise<void>;
  /** Told when the guest only has to come up: what else the launch has to do is done meanwhile. A process of it says so too. */
  readonly onStarting?: () => void;
}

/** Something that a start needs and this machine does not have now. */
export interface Shortage {
  readonly what: string;
  readonly hint: string | undefined;
}

export interface Backend {
  readonly name: BackendName;
  /** Looks at the machine, changes nothing. */
  probe(ports: BackendPorts): Promise<BackendProbe>;
  /**
   * Finds what planning needs; absent where there is one attachment and no network. Throws HostError
   * `host.backend-unavailable` when what is asked for does not work here.
   */
  survey?(request: SurveyRequest, ports: BackendPorts): Promise<BackendSurvey>;
  /** Finds what a launch would lack, by looking alone; what only trying shows goes to `onSkipped`. Never throws for what is missing. */
  look?(plan: GuestPlan, ports: BackendPorts): Promise<readonly Shortage[]>;
  /** Creates and starts the guest; resolves when guest-init has connected and holds the relays. No agent code has run. */
  launch(plan: GuestPlan, context: LaunchContext): Promise<Guest>;
  /** Ends and removes what a dead owner left. Tolerates that any of it is gone. */
  reap(resources: GuestResources, ports: BackendPorts): Promise<void>;
  /** Finds what the home of this cache has on an engine, whether or not a record names it; absent where there is no engine. */
  findObjects?(cacheDir: HostPath, ports: BackendPorts): Promise<readonly EngineObject[]>;
  /** Removes one that {@link Backend.findObjects} found. Tolerates that it is gone. */
  removeObject?(object: EngineObject, ports: BackendPorts): Promise<void>;
}
