/** Parts of a bottle file in the manifest's own types: routes, credentials, repositories, the provider. */
import { expandHostPath, type PathBase } from "./host-paths.ts";
import type { ProviderLayer } from "./layer.ts";
import type { BottleData } from "./schema-bottle.ts";
import type {
  AuthSpec,
  DlpSpec,
  GitRepoSpec,
  MatchSpec,
  Provenance,
  RouteSpec,
  TokenRef,
} from "./types.ts";

type EgressData = NonNullable<BottleData["egress"]>;
type RouteData = NonNullable<EgressData["routes"]>[number];
type AuthData = NonNullable<RouteData["auth"]>;
type ProviderData = NonNullable<BottleData["agent_provider"]>;
type RepoData = NonNullable<NonNullable<BottleData["git-gate"]>["repos"]>[string];

/** Key of a route: there is one entry per host and port. */
export function routeKey(route: {
  readonly host: string;
  readonly port: number | undefined;
}): string {
  return `${route.host}:${route.port ?? ""}`;
}

/** Where a route and its credential are written. */
export interface RoutePlaces {
  readonly route: Provenance;
  readonly token: Provenance;
}

/** One route. */
export function parseRoute(data: RouteData, base: PathBase, places: RoutePlaces): RouteSpec {
  const { limits } = data;
  return {
    host: data.host.host,
    port: data.host.port,
    auth: data.auth && parseAuth(data.auth, base, places.token),
    matches: (data.matches ?? []).map(parseMatch),
    gitFetch: data.git?.fetch ?? false,
    dlp: parseDlp(data.dlp ?? {}),
    limits: limits && { requests: limits.requests, bytes: limits.bytes },
    from: places.route,
  };
}

function parseMatch(data: NonNullable<RouteData["matches"]>[number]): MatchSpec {
  return {
    paths: data.paths ?? [],
    methods: [...new Set(data.methods)],
    headers: data.headers ?? [],
  };
}

function parseDlp(data: NonNullable<RouteData["dlp"]>): DlpSpec {
  return {
    outboundDetectors: data.outbound_detectors,
    inboundDetectors: data.inbound_detectors,
    outboundOnMatch: data.outbound_on_match,
    inboundOnMatch: data.inbound_on_match,
  };
}

function parseAuth(data: AuthData, base: PathBase, tokenFrom: Provenance): AuthSpec {
  const tokenRef = parseTokenRef(data.token_ref, base);
  const requirePlaceholder = data.require_placeholder ?? false;
  const common = { tokenRef, tokenFrom, requirePlaceholder };
  switch (data.scheme) {
    case "Bearer":
    case "token":
      return { ...common, scheme: data.scheme };
    case "basic":
      return { ...common, scheme: "basic", username: data.username };
    case "header":
    case "query":
      return { ...common, scheme: data.scheme, name: data.name };
    case "json":
      return { ...common, scheme: "json", pointer: data.pointer };
  }
}

function parseTokenRef(data: AuthData["token_ref"], base: PathBase): TokenRef {
  if (typeof data === "string") return { kind: "env", name: data };
  const { name, file, command } = data;
  if (command !== undefined) return { kind: "command", name, argv: command };
  // compareBottle has seen to it that one of both is given.
  return { kind: "file", name, path: expandHostPath(file ?? "", base) };
}

/** One repository of git-gate. */
export function parseRepo(name: string, data: RepoData, base: PathBase): GitRepoSpec {
  const { key } = data;
  return {
    name,
    url: data.url,
    hostKey: data.host_key,
    key:
      key.provider === "gitea"
        ? { provider: "gitea", forgeTokenEnv: key.forge_token_env }
        : { provider: "static", path: expandHostPath(key.path, base) },
  };
}

/** What the file says of the agent's provider. */
export function parseProvider(
  data: ProviderData,
  base: PathBase,
  tokenFrom: Provenance,
): ProviderLayer {
  const { dockerfile, auth_token: token } = data;
  return {
    template: data.template,
    dockerfile: dockerfile === undefined ? undefined : expandHostPath(dockerfile, base),
    authToken: token === undefined ? undefined : parseTokenRef(token, base),
    authTokenFrom: token === undefined ? undefined : tokenFrom,
    authKind: data.auth_kind,
    forwardHostCredentials: data.forward_host_credentials,
    settings: data.settings,
  };
}
