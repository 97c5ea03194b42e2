/** One bottle before defaults: only what files declare, each value with the place it came from. */
import type { HostPath } from "../base/ids.ts";
import type {
  BottleSpec,
  EgressSpec,
  EnvEntry,
  GitRepoSpec,
  MountSpec,
  Provenance,
  ProviderSpec,
  RouteSpec,
} from "./types.ts";

/** A value and where it was declared. */
export interface Sourced<T> {
  readonly value: T;
  readonly from: Provenance;
}

/** Entries by their key: a variable's name, a route's `host:port`, a repository's name, a mount's guest path. */
export type Keyed<T> = ReadonlyMap<string, Sourced<T>>;

/** What a file says of the agent's provider. */
export type ProviderLayer = { readonly [K in keyof ProviderSpec]?: ProviderSpec[K] | undefined };

/** Settings of which there is one. */
export interface Scalars {
  readonly provider: ProviderLayer;
  readonly backend: NonNullable<BottleSpec["backend"]>;
  readonly attachment: BottleSpec["attachment"];
  readonly runtime: string;
  readonly supervise: boolean;
  readonly log: EgressSpec["log"];
  readonly pipelock: EgressSpec["pipelock"];
  readonly upstreamProxy: string;
  readonly upstreamCa: readonly HostPath[];
  readonly gitUserName: string;
  readonly gitUserEmail: string;
  readonly memoryBytes: number;
  readonly processes: number;
  readonly cpus: number;
  readonly diskBytes: number;
}

/** The settings that a layer declares. */
export type ScalarLayer = { readonly [K in keyof Scalars]?: Sourced<Scalars[K]> | undefined };

/** Collections of which each entry has a name. Undefined: not declared, so inherited. */
export interface Collections {
  readonly env: Keyed<EnvEntry> | undefined;
  readonly routes: Keyed<RouteSpec> | undefined;
  readonly resolve: Keyed<EgressSpec["resolve"][string]> | undefined;
  readonly repos: Keyed<GitRepoSpec> | undefined;
  readonly mounts: Keyed<MountSpec> | undefined;
}

/** One bottle file, or several merged into one. */
export interface BottleLayer extends Collections {
  /** The files that went into it, in merge order. */
  readonly parts: readonly { readonly name: string; readonly file: string }[];
  readonly scalars: ScalarLayer;
  readonly warnings: readonly string[];
}

/** A place for people: `bottles/web.md:14` as the file was named. */
export function renderPlace(from: Provenance): string {
  return `${from.file}:${from.line}`;
}
