/**
 * What a backend is. A backend realises a guest; it knows nothing of manifests, providers or policy. Backends never import
 * each other; bottle/ knows them only through this file and the registry.
 */

import type { Readable, Writable } from "node:stream";
import type { Clock } from "../base/clock.ts";
import type { BottleId, GuestPath, HostPath } from "../base/ids.ts";
import type { Logger } from "../base/log.ts";
import type { Exec, ExitStatus, StdioEntry } from "../process/exec.ts";
import type { ArchiveEntry } from "../protocol/guest.ts";

export const BACKEND_NAMES = ["bubblewrap", "docker", "smolmachines", "fake"] as const;
export type BackendName = (typeof BACKEND_NAMES)[number];

/** How the guest reaches the doors. */
export type AttachmentKind = "sockets" | "internal" | "tsi";

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
  | { readonly type: "door"; readonly port: number; readonly timeoutMs: number }
  | { readonly type: "interfaces" };

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
  /** Tries to reach something from inside: `connected`, `refused`, `unreachable`, `timeout`, or interface names. */
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

export interface LaunchContext {
  readonly ports: BackendPorts;
  readonly signal: AbortSignal | undefined;
  /** Guest's environment for sessions: values included, so it travels over the init door only. */
  readonly guestEnv: Readonly<Record<string, string>>;
  /** The guest's descriptors 0-2. */
  readonly stdio: readonly [StdioEntry, StdioEntry, StdioEntry];
  /** Records resources the moment they exist, before anything can fail. */
  readonly onResources: (resources: GuestResources) => Promise<void>;
}

export interface Backend {
  readonly name: BackendName;
  /** Looks at the machine, changes nothing. */
  probe(ports: BackendPorts): Promise<BackendProbe>;
  /** Creates and starts the guest; resolves when guest-init has connected and holds the relays. No agent code has run. */
  launch(plan: GuestPlan, context: LaunchContext): Promise<Guest>;
  /** Ends and removes what a dead owner left. Tolerates that any of it is gone. */
  reap(resources: GuestResources, ports: BackendPorts): Promise<void>;
}
