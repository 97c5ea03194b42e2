/** The manifest after parsing: one agent and its one effective bottle, every value typed, provenance kept. */
import type { HostPath } from "../base/ids.ts";

/** Where a value came from: file and 1-based position. */
export interface Provenance {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

/** A variable of the operator's environment that a bottle reads, and one place that names it. */
export interface HostVariable extends Provenance {
  readonly name: string;
  /** Dotted path of the key there: `env.NPM_TOKEN`. */
  readonly path: string;
}

/** Value of one `env:` entry. */
export type EnvEntry =
  | { readonly kind: "literal"; readonly value: string }
  /** `?message`: asked on the terminal before the preflight, without echo. */
  | { readonly kind: "prompt"; readonly message: string }
  /** `${HOST_VAR}`: copied from the operator's environment. */
  | { readonly kind: "host"; readonly variable: string };

/** Where a credential's value is read on the host; `name` is also the guest's placeholder variable. */
export type TokenRef =
  | { readonly kind: "env"; readonly name: string }
  | { readonly kind: "file"; readonly name: string; readonly path: HostPath }
  | { readonly kind: "command"; readonly name: string; readonly argv: readonly string[] };

export type AuthSpec = {
  readonly tokenRef: TokenRef;
  /** Where `token_ref` is written. */
  readonly tokenFrom: Provenance;
  readonly requirePlaceholder: boolean;
} & (
  | { readonly scheme: "Bearer" | "token" }
  | { readonly scheme: "basic"; readonly username: string }
  | { readonly scheme: "header"; readonly name: string }
  | { readonly scheme: "query"; readonly name: string }
  | { readonly scheme: "json"; readonly pointer: string }
);

export interface PathMatchSpec {
  readonly type: "exact" | "prefix" | "glob" | "regex";
  readonly value: string;
}

export interface HeaderMatchSpec {
  readonly name: string;
  readonly value: string;
  readonly type: "exact" | "regex";
}

export interface MatchSpec {
  readonly paths: readonly PathMatchSpec[];
  readonly methods: readonly string[];
  readonly headers: readonly HeaderMatchSpec[];
}

export interface DlpSpec {
  /** Undefined: the defaults. False: off. */
  readonly outboundDetectors: readonly string[] | false | undefined;
  readonly inboundDetectors: readonly string[] | false | undefined;
  readonly outboundOnMatch: "supervise" | "redact" | "block" | undefined;
  readonly inboundOnMatch: "block" | "warn" | undefined;
}

export interface RouteSpec {
  /** Canonical host name (or `*.suffix`), lower case. */
  readonly host: string;
  readonly port: number | undefined;
  readonly auth: AuthSpec | undefined;
  readonly matches: readonly MatchSpec[];
  readonly gitFetch: boolean;
  readonly dlp: DlpSpec;
  readonly limits:
    | { readonly requests: number | undefined; readonly bytes: number | undefined }
    | undefined;
  readonly from: Provenance;
}

export interface EgressSpec {
  readonly routes: readonly RouteSpec[];
  readonly resolve: Readonly<
    Record<string, { readonly address: string; readonly port: number | undefined }>
  >;
  readonly upstreamCa: readonly HostPath[];
  readonly upstreamCaFrom: Provenance | undefined;
  readonly upstreamProxy: string | undefined;
  readonly pipelock: "required" | "auto" | "off";
  readonly log: 0 | 1 | 2;
}

export interface GitUser {
  readonly name: string | undefined;
  readonly email: string | undefined;
}

export interface GitRepoSpec {
  readonly name: string;
  readonly url: string;
  readonly hostKey: string | undefined;
  readonly key:
    | { readonly provider: "static"; readonly path: HostPath }
    | { readonly provider: "gitea"; readonly forgeTokenEnv: string };
}

export interface ProviderSpec {
  readonly template: string;
  readonly dockerfile: HostPath | undefined;
  readonly authToken: TokenRef | undefined;
  /** Where `auth_token` is written. */
  readonly authTokenFrom: Provenance | undefined;
  readonly authKind: "bearer" | "api-key";
  readonly forwardHostCredentials: boolean;
  /** Template-specific settings; the provider parses them. */
  readonly settings: Readonly<Record<string, unknown>>;
}

export interface LimitsSpec {
  readonly memoryBytes: number | undefined;
  readonly processes: number | undefined;
  readonly cpus: number | undefined;
  readonly diskBytes: number | undefined;
}

export interface MountSpec {
  readonly host: HostPath;
  readonly guest: string;
}

/** One bottle after `extends` and merging. */
export interface BottleSpec {
  /** The bottle files that went into it, in merge order. */
  readonly names: readonly string[];
  readonly env: Readonly<Record<string, EnvEntry>>;
  /** Every variable of the host that the bottle reads, once for each place that names it. */
  readonly hostVariables: readonly HostVariable[];
  readonly provider: ProviderSpec;
  readonly backend: "bubblewrap" | "docker" | "smolmachines" | undefined;
  readonly attachment: "auto" | "sockets" | "internal" | "tsi";
  /** OCI runtime asked for (`runsc`), docker only. */
  readonly runtime: string | undefined;
  readonly supervise: boolean;
  readonly egress: EgressSpec;
  readonly gitUser: GitUser;
  readonly gitRepos: readonly GitRepoSpec[];
  readonly limits: LimitsSpec;
  readonly mounts: readonly MountSpec[];
}

export interface AgentSpec {
  readonly name: string;
  readonly bottle: string | undefined;
  readonly skills: readonly string[];
  readonly gitUser: GitUser;
  /** System prompt: the Markdown body, stripped. */
  readonly prompt: string;
  readonly origin: "home" | "repository";
  readonly file: string;
  /** SHA-256 of the file's bytes: what the operator confirms for a repository's agent. */
  readonly digest: string;
}

/** One agent and its one effective bottle. */
export interface Manifest {
  readonly agent: AgentSpec;
  readonly bottle: BottleSpec;
  /** Things worth saying that are not errors: a shadowed repository agent, an ignored bottles folder. */
  readonly warnings: readonly string[];
}
