/**
 * The container engine as the rest of the program sees it. What is sent and what comes back keep the names of the engine's own
 * API, so that its documentation is ours; only the parts that we use are named here, and all that comes back is parsed.
 */
import type { Readable, Writable } from "node:stream";
import type {
  ContainerInspect,
  ContainerSummary,
  EngineInfo,
  EngineVersion,
  ExecInspect,
  ImageInspect,
  ImageSummary,
  NetworkInspect,
} from "./schemas.ts";

/** Where the engine listens, and who said so. */
export type EngineEndpoint =
  | { readonly kind: "unix"; readonly path: string; readonly source: string }
  | {
      readonly kind: "tcp";
      readonly host: string;
      readonly port: number;
      /** Undefined: plain TCP. */
      readonly tls: EngineTls | undefined;
      readonly source: string;
    };

/** PEM files of a TLS endpoint; `verify` false accepts any server. */
export interface EngineTls {
  readonly caFile: string | undefined;
  readonly certFile: string | undefined;
  readonly keyFile: string | undefined;
  readonly verify: boolean;
}

/** Bounds of one call; `timeoutMs` undefined takes the call's own default, Infinity none. */
export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
  readonly timeoutMs?: number | undefined;
}

export type Labels = Readonly<Record<string, string>>;

/** One published port: `HostPort` "" lets the engine choose. */
export interface PortBindingBody {
  readonly HostIp: string;
  readonly HostPort: string;
}

/** HostConfig of `POST /containers/create`. */
export interface HostConfigBody {
  readonly Binds?: readonly string[];
  readonly Mounts?: readonly MountBody[];
  readonly NetworkMode?: string;
  readonly PortBindings?: Readonly<Record<string, readonly PortBindingBody[]>>;
  readonly AutoRemove?: boolean;
  readonly CapAdd?: readonly string[];
  readonly CapDrop?: readonly string[];
  readonly Dns?: readonly string[];
  readonly ExtraHosts?: readonly string[];
  readonly IpcMode?: string;
  readonly CgroupnsMode?: "private" | "host";
  readonly OomScoreAdj?: number;
  readonly Privileged?: boolean;
  readonly ReadonlyRootfs?: boolean;
  readonly SecurityOpt?: readonly string[];
  readonly Tmpfs?: Readonly<Record<string, string>>;
  readonly ShmSize?: number;
  readonly Runtime?: string;
  readonly Init?: boolean;
  readonly LogConfig?: {
    readonly Type: string;
    readonly Config?: Readonly<Record<string, string>>;
  };
  readonly RestartPolicy?: { readonly Name: "no" };
  readonly Memory?: number;
  readonly MemorySwap?: number;
  readonly NanoCpus?: number;
  readonly PidsLimit?: number;
  readonly Sysctls?: Readonly<Record<string, string>>;
  readonly MaskedPaths?: readonly string[];
  readonly ReadonlyPaths?: readonly string[];
}

/** One entry of HostConfig.Mounts; unlike a bind string it may hold colons and never creates its source. */
export interface MountBody {
  readonly Type: "bind";
  readonly Source: string;
  readonly Target: string;
  readonly ReadOnly: boolean;
  readonly BindOptions?: {
    readonly Propagation?: "private" | "rprivate";
    readonly NonRecursive?: boolean;
  };
}

/** A container's place on one network. */
export interface EndpointBody {
  readonly IPAMConfig?: { readonly IPv4Address: string };
  readonly Aliases?: readonly string[];
}

/** Body of `POST /containers/create`. */
export interface ContainerBody {
  readonly Image: string;
  readonly Entrypoint?: readonly string[];
  readonly Cmd?: readonly string[];
  readonly Env?: readonly string[];
  readonly User?: string;
  readonly WorkingDir?: string;
  readonly Hostname?: string;
  readonly Labels?: Labels;
  readonly AttachStdin?: boolean;
  readonly AttachStdout?: boolean;
  readonly AttachStderr?: boolean;
  readonly OpenStdin?: boolean;
  readonly StdinOnce?: boolean;
  readonly Tty?: boolean;
  readonly StopSignal?: string;
  readonly Healthcheck?: { readonly Test: readonly ["NONE"] };
  readonly ExposedPorts?: Readonly<Record<string, Readonly<Record<string, never>>>>;
  readonly HostConfig: HostConfigBody;
  readonly NetworkingConfig?: { readonly EndpointsConfig: Readonly<Record<string, EndpointBody>> };
}

/** Body of `POST /containers/{id}/exec`. */
export interface ExecBody {
  readonly Cmd: readonly string[];
  readonly Env?: readonly string[];
  readonly User?: string;
  readonly WorkingDir?: string;
  readonly Tty: boolean;
  readonly AttachStdin: boolean;
  readonly AttachStdout: boolean;
  readonly AttachStderr: boolean;
}

/** Body of `POST /networks/create`. */
export interface NetworkBody {
  readonly Name: string;
  readonly Driver?: string;
  readonly Internal?: boolean;
  readonly EnableIPv6?: boolean;
  readonly CheckDuplicate?: boolean;
  readonly Labels?: Labels;
  readonly Options?: Readonly<Record<string, string>>;
  readonly IPAM?: {
    readonly Driver?: string;
    readonly Config: readonly {
      readonly Subnet: string;
      /** From which addresses are given out; the whole subnet where it is missing. */
      readonly IPRange?: string;
      readonly Gateway?: string;
    }[];
  };
}

/** What `docker build` is asked; `context` is a tar stream. Undefined labels and arguments: none. */
export interface BuildRequest {
  readonly context: Readable;
  /** Path of the Dockerfile inside the context. */
  readonly dockerfile: string;
  readonly tags: readonly string[];
  readonly buildArgs?: Readonly<Record<string, string>> | undefined;
  readonly labels?: Labels | undefined;
  readonly target?: string | undefined;
  readonly networkMode?: string | undefined;
  /** One line of the build's own output, for people. */
  readonly onProgress?: ((line: string) => void) | undefined;
}

/** What `docker import` is asked; `tree` is a tar stream of a whole root. */
export interface ImportRequest {
  readonly tree: Readable;
  readonly tag: string;
  /** Dockerfile instructions such as `ENV PATH=…`. */
  readonly changes?: readonly string[] | undefined;
}

/**
 * A hijacked connection. `stdin.end()` half-closes; where the container has no terminal, stdout and stderr share one connection,
 * so both must be read.
 */
export interface EngineStream {
  readonly stdin: Writable;
  readonly stdout: Readable;
  /** Ends at once where there is a terminal. */
  readonly stderr: Readable;
  destroy(): void;
}

/** What a hijacked stream carries. */
export interface AttachOptions extends CallOptions {
  /** The container or exec has a terminal: the stream is raw. */
  readonly tty: boolean;
  readonly stdin: boolean;
}

/** The size of a terminal. */
export interface TerminalSize {
  readonly columns: number;
  readonly rows: number;
}

/** Containers. Names and ids are interchangeable. All removals take a missing object as success. */
export interface Containers {
  /** Returns the id. Throws LaunchError; status 409 means that the name is taken. The signal keeps it from being sent, no more. */
  create(name: string, body: ContainerBody, options?: CallOptions): Promise<string>;
  start(id: string, options?: CallOptions): Promise<void>;
  /** A container that does not run is success. */
  kill(id: string, signal: NodeJS.Signals, options?: CallOptions): Promise<void>;
  /** Resolves with the exit code; has no timeout of its own. `next-exit` may be asked before the start. */
  wait(
    id: string,
    condition: "not-running" | "next-exit" | "removed",
    options?: CallOptions,
  ): Promise<number>;
  /** Undefined when there is none. */
  inspect(id: string, options?: CallOptions): Promise<ContainerInspect | undefined>;
  /** Kills it when it runs. */
  remove(id: string, options?: CallOptions): Promise<void>;
  /** All, running or not, that carry every label given; a label's value may be undefined for any. */
  list(
    labels: Readonly<Record<string, string | undefined>>,
    options?: CallOptions,
  ): Promise<readonly ContainerSummary[]>;
  attach(id: string, options: AttachOptions): Promise<EngineStream>;
  resize(id: string, size: TerminalSize, options?: CallOptions): Promise<void>;
  /** The container's root as a tar stream. */
  export(id: string, options?: CallOptions): Promise<Readable>;
  /** Puts a tar stream into a directory of the container. */
  putArchive(id: string, directory: string, tar: Readable, options?: CallOptions): Promise<void>;
}

/** Programs started in a running container by the engine. */
export interface Execs {
  create(container: string, body: ExecBody, options?: CallOptions): Promise<string>;
  start(id: string, options: AttachOptions): Promise<EngineStream>;
  inspect(id: string, options?: CallOptions): Promise<ExecInspect>;
  resize(id: string, size: TerminalSize, options?: CallOptions): Promise<void>;
}

export interface Networks {
  /** Returns the id. Throws LaunchError; status 409 means the name is taken, 403 and "overlaps" that the subnet is. The signal as above. */
  create(body: NetworkBody, options?: CallOptions): Promise<string>;
  connect(
    network: string,
    container: string,
    endpoint?: EndpointBody,
    options?: CallOptions,
  ): Promise<void>;
  inspect(network: string, options?: CallOptions): Promise<NetworkInspect | undefined>;
  list(
    labels: Readonly<Record<string, string | undefined>>,
    options?: CallOptions,
  ): Promise<readonly NetworkInspect[]>;
  /** A missing network is success; one with containers on it is an error. */
  remove(network: string, options?: CallOptions): Promise<void>;
}

export interface Images {
  /** Undefined when there is none. */
  inspect(reference: string, options?: CallOptions): Promise<ImageInspect | undefined>;
  list(
    labels: Readonly<Record<string, string | undefined>>,
    options?: CallOptions,
  ): Promise<readonly ImageSummary[]>;
  tag(source: string, repository: string, tag: string, options?: CallOptions): Promise<void>;
  /** A missing image is success; one in use is an error. */
  remove(reference: string, options?: CallOptions): Promise<void>;
  /** Returns the image's id. Throws LaunchError with the failing step's own words. */
  build(request: BuildRequest, options?: CallOptions): Promise<string>;
  /** Loads what `save` made; returns the references or ids that came. */
  load(archive: Readable, options?: CallOptions): Promise<readonly string[]>;
  save(references: readonly string[], options?: CallOptions): Promise<Readable>;
  /** Makes an image of a root tree; returns its id. */
  importTree(request: ImportRequest, options?: CallOptions): Promise<string>;
}

/** One engine. Its connections are kept alive while it is open and hold no process back. */
export interface Engine extends Disposable {
  readonly endpoint: EngineEndpoint;
  /** The negotiated version of the API, such as `1.41`. */
  readonly apiVersion: string;
  version(options?: CallOptions): Promise<EngineVersion>;
  info(options?: CallOptions): Promise<EngineInfo>;
  readonly containers: Containers;
  readonly execs: Execs;
  readonly networks: Networks;
  readonly images: Images;
}
