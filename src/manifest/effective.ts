/** The effective bottle: defaults filled in, and what only the merged whole can show to be wrong. */
import type { Issue } from "../base/errors.ts";
import type { HostPath } from "../base/ids.ts";
import type { HomePaths } from "../base/paths.ts";
import { contains } from "./host-paths.ts";
import type { BottleLayer, Keyed, ScalarLayer, Sourced } from "./layer.ts";
import type {
  BottleSpec,
  EgressSpec,
  HostVariable,
  LimitsSpec,
  Provenance,
  ProviderSpec,
  TokenRef,
} from "./types.ts";

/** Template of a bottle that names none. */
export const DEFAULT_TEMPLATE = "claude";

/** Makes the effective bottle of a merged layer. */
export function resolveEffective(layer: BottleLayer): BottleSpec {
  const { scalars } = layer;
  return {
    names: layer.parts.map((part) => part.name),
    env: toRecord(layer.env),
    hostVariables: hostVariables(layer),
    provider: resolveProvider(scalars),
    backend: scalars.backend?.value,
    attachment: scalars.attachment?.value ?? "auto",
    runtime: scalars.runtime?.value,
    supervise: scalars.supervise?.value ?? true,
    egress: resolveEgress(layer),
    gitUser: { name: scalars.gitUserName?.value, email: scalars.gitUserEmail?.value },
    gitRepos: toList(layer.repos),
    limits: resolveLimits(scalars),
    mounts: toList(layer.mounts),
  };
}

function toRecord<T>(entries: Keyed<T> | undefined): Readonly<Record<string, T>> {
  return Object.fromEntries([...(entries ?? [])].map(([key, entry]) => [key, entry.value]));
}

function toList<T>(entries: Keyed<T> | undefined): readonly T[] {
  return [...(entries?.values() ?? [])].map((entry) => entry.value);
}

function hostVariables({ env, routes, scalars }: BottleLayer): readonly HostVariable[] {
  const token = (ref: TokenRef | undefined, from: Provenance | undefined, path: string) =>
    ref?.kind === "env" && from !== undefined ? [{ ...from, name: ref.name, path }] : [];
  const { authToken, authTokenFrom } = scalars.provider?.value ?? {};
  return [
    ...[...(env ?? [])].flatMap(([key, { value, from }]) =>
      value.kind === "host" ? [{ ...from, name: value.variable, path: `env.${key}` }] : [],
    ),
    ...token(authToken, authTokenFrom, "agent_provider.auth_token"),
    ...toList(routes).flatMap(({ auth, host }) =>
      token(auth?.tokenRef, auth?.tokenFrom, `token_ref of the route ${host}`),
    ),
  ];
}

function resolveProvider(scalars: ScalarLayer): ProviderSpec {
  const provider = scalars.provider?.value ?? {};
  return {
    template: provider.template ?? DEFAULT_TEMPLATE,
    dockerfile: provider.dockerfile,
    authToken: provider.authToken,
    authTokenFrom: provider.authTokenFrom,
    authKind: provider.authKind ?? "bearer",
    forwardHostCredentials: provider.forwardHostCredentials ?? false,
    settings: provider.settings ?? {},
  };
}

function resolveEgress(layer: BottleLayer): EgressSpec {
  const { scalars } = layer;
  return {
    routes: toList(layer.routes),
    resolve: toRecord(layer.resolve),
    upstreamCa: scalars.upstreamCa?.value ?? [],
    upstreamCaFrom: scalars.upstreamCa?.from,
    upstreamProxy: scalars.upstreamProxy?.value,
    pipelock: scalars.pipelock?.value ?? "off",
    log: scalars.log?.value ?? 0,
  };
}

function resolveLimits(scalars: ScalarLayer): LimitsSpec {
  return {
    memoryBytes: scalars.memoryBytes?.value,
    processes: scalars.processes?.value,
    cpus: scalars.cpus?.value,
    diskBytes: scalars.diskBytes?.value,
  };
}

/** A credential that the guest must never have, and who declared it. */
interface Credential {
  readonly ref: TokenRef;
  readonly from: Provenance;
  readonly what: string;
  /** True where the name is also a variable of the guest, which holds the placeholder. */
  readonly isPlaceholder: boolean;
}

/** What is wrong with the whole: credentials that would reach the guest, or that have two sources. */
export function checkEffective(layer: BottleLayer, home: HomePaths): readonly Issue[] {
  const credentials = credentialsOf(layer);
  return [
    ...envIssues(layer, credentials),
    ...sourceIssues(credentials),
    ...mountIssues(layer, credentials, home),
  ];
}

function credentialsOf(layer: BottleLayer): readonly Credential[] {
  const routes = [...(layer.routes?.values() ?? [])].flatMap(({ value, from }) =>
    value.auth === undefined
      ? []
      : [{ ref: value.auth.tokenRef, from, what: `the route ${value.host}`, isPlaceholder: true }],
  );
  const repos = [...(layer.repos?.values() ?? [])].flatMap(({ value, from }): Credential[] => {
    const what = `the repository ${value.name}`;
    const { key } = value;
    const ref: TokenRef =
      key.provider === "gitea"
        ? { kind: "env", name: key.forgeTokenEnv }
        : { kind: "file", name: "", path: key.path };
    return [{ ref, from, what, isPlaceholder: false }];
  });
  const provider = layer.scalars.provider;
  const token = provider?.value.authToken;
  const own =
    token && provider
      ? [{ ref: token, from: provider.from, what: "agent_provider", isPlaceholder: false }]
      : [];
  return [...own, ...routes, ...repos];
}

function issue(from: Provenance, path: string, predicate: string): Issue {
  const { file, line, column } = from;
  return {
    file,
    line,
    column,
    path,
    message: `${path} ${predicate}`,
    hint: `edit ${file}:${line}`,
  };
}

/** A variable that carries a declared credential, or takes its placeholder's place, would break what `auth` promises. */
function envIssues(layer: BottleLayer, credentials: readonly Credential[]): readonly Issue[] {
  return [...(layer.env ?? [])].flatMap(([name, { value, from }]) => {
    const taken = credentials.find((it) => it.isPlaceholder && it.ref.name === name);
    const given = credentials.find(
      ({ ref }) => ref.kind === "env" && value.kind === "host" && ref.name === value.variable,
    );
    const path = `env.${name}`;
    if (given !== undefined) {
      return [
        issue(
          from,
          path,
          `gives the guest the credential that ${given.what} keeps from it; remove one of both`,
        ),
      ];
    }
    if (taken === undefined) return [];
    return [
      issue(from, path, `is the placeholder's name of ${taken.what}; another name is expected`),
    ];
  });
}

/** One placeholder name has one source. */
function sourceIssues(credentials: readonly Credential[]): readonly Issue[] {
  const first = new Map<string, Credential>();
  return credentials.flatMap((credential) => {
    const { ref, from, what, isPlaceholder } = credential;
    if (!isPlaceholder) return [];
    const before = first.get(ref.name);
    if (before === undefined) {
      first.set(ref.name, credential);
      return [];
    }
    if (sourceOf(before.ref) === sourceOf(ref)) return [];
    const place = `${before.from.file}:${before.from.line}`;
    return [
      issue(
        from,
        "token_ref",
        `of ${what} gives ${ref.name} another source than ${place}; one is expected`,
      ),
    ];
  });
}

function sourceOf(ref: TokenRef): string {
  if (ref.kind === "env") return "env";
  return ref.kind === "file" ? `file ${ref.path}` : `command ${ref.argv.join("\0")}`;
}

/** A mount must not show the guest a declared key, or bot-bottle's own files. */
function mountIssues(
  layer: BottleLayer,
  credentials: readonly Credential[],
  home: HomePaths,
): readonly Issue[] {
  const own = [home.state, home.run, home.queue, home.audit];
  return [...(layer.mounts?.values() ?? [])].flatMap(
    ({ value, from }: Sourced<{ host: HostPath }>) => {
      const shown = credentials.find(
        ({ ref }) => ref.kind === "file" && contains(value.host, ref.path),
      );
      if (shown !== undefined) {
        return [
          issue(
            from,
            "mounts.host",
            `shows the guest the key file of ${shown.what}; a narrower path is expected`,
          ),
        ];
      }
      const isOurs = own.some((path) => contains(value.host, path) || contains(path, value.host));
      return isOurs
        ? [
            issue(
              from,
              "mounts.host",
              "shows the guest bot-bottle's own files; another path is expected",
            ),
          ]
        : [];
    },
  );
}
