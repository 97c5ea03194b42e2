/** Parses one bottle file into a layer, or gives everything that is wrong with it. */
import type { Issue } from "../base/errors.ts";
import type { HostPath } from "../base/ids.ts";
import { compareBottle } from "./compare.ts";
import { type Front, readFront } from "./front.ts";
import { MAX_BOTTLE_BLOCK } from "./frontmatter.ts";
import { expandHostPath, type PathBase } from "./host-paths.ts";
import type { FaultPath } from "./issues.ts";
import type { BottleLayer, Keyed, ScalarLayer, Sourced } from "./layer.ts";
import { isName } from "./names.ts";
import { parseProvider, parseRepo, parseRoute, routeKey } from "./parse-parts.ts";
import { cleanBottle } from "./removed-keys.ts";
import { type BottleData, bottleSchema } from "./schema-bottle.ts";
import type { SourceFile } from "./source.ts";
import type { Provenance } from "./types.ts";

/** A bottle named by `extends`, and where. */
export interface ParentLink {
  readonly name: string;
  readonly from: Provenance;
  readonly path: string;
}

/** One bottle file as read. Its parents are known even where other keys are wrong, so that their faults show too. */
export interface ParsedBottle {
  readonly name: string;
  readonly file: string;
  readonly parents: readonly ParentLink[];
  /** Undefined when there are issues. */
  readonly layer: BottleLayer | undefined;
  readonly issues: readonly Issue[];
}

/** Parses a bottle file's text. Never throws. */
export function parseBottle(source: SourceFile, userHome: HostPath): ParsedBottle {
  const front = readFront(source, {
    maxLength: MAX_BOTTLE_BLOCK,
    clean: cleanBottle,
    compare: compareBottle,
    schema: bottleSchema,
  });
  const { name, file } = source;
  const layer =
    front.data === undefined
      ? undefined
      : makeLayer(front, front.data, { name, base: { file, userHome } });
  return { name, file, parents: parentsOf(front), layer, issues: front.issues };
}

function parentsOf(front: Front<BottleData>): readonly ParentLink[] {
  const raw = front.raw;
  const value: unknown =
    typeof raw === "object" && raw !== null && "extends" in raw ? raw.extends : undefined;
  const link = (name: unknown, path: FaultPath, text: string): ParentLink[] =>
    typeof name === "string" && isName(name) ? [{ name, from: front.place(path), path: text }] : [];
  if (!Array.isArray(value)) return link(value, ["extends"], "extends");
  return value.flatMap((name, i) => link(name, ["extends", i], `extends[${i}]`));
}

interface Context {
  readonly name: string;
  readonly base: PathBase;
}

function makeLayer(front: Front<BottleData>, data: BottleData, context: Context): BottleLayer {
  const { base } = context;
  const { egress } = data;
  const repos = data["git-gate"]?.repos;
  return {
    parts: [{ name: context.name, file: base.file }],
    scalars: scalarsOf(front, data, base),
    warnings: [],
    env: keyedMap(front, ["env"], data.env, (it) => it),
    routes: egress === undefined ? undefined : routesOf(front, egress.routes ?? [], base),
    resolve: keyedMap(front, ["egress", "resolve"], egress?.resolve, (it) => it),
    repos: keyedMap(front, ["git-gate", "repos"], repos, (it, name) => parseRepo(name, it, base)),
    mounts: mountsOf(front, data.mounts, base),
  };
}

function routesOf(
  front: Front<BottleData>,
  routes: NonNullable<NonNullable<BottleData["egress"]>["routes"]>,
  base: PathBase,
): BottleLayer["routes"] {
  const entries = routes.map((route, i) => {
    const path = ["egress", "routes", i];
    const from = front.place(path);
    const token = route.auth === undefined ? from : front.place([...path, "auth", "token_ref"]);
    const value = parseRoute(route, base, { route: from, token });
    return [routeKey(value), { value, from }] as const;
  });
  return new Map(entries);
}

function mountsOf(
  front: Front<BottleData>,
  mounts: BottleData["mounts"],
  base: PathBase,
): BottleLayer["mounts"] {
  if (mounts === undefined) return undefined;
  const entries = mounts.map(({ host, guest }, i) => {
    const value = { host: expandHostPath(host, base), guest };
    return [guest, { value, from: front.place(["mounts", i]) }] as const;
  });
  return new Map(entries);
}

function keyedMap<T, R>(
  front: Front<BottleData>,
  path: FaultPath,
  data: Readonly<Record<string, T>> | undefined,
  read: (value: T, key: string) => R,
): Keyed<R> | undefined {
  if (data === undefined) return undefined;
  const entries = Object.entries(data).map(([key, item]) => {
    const from = front.place([...path, key], "key");
    return [key, { value: read(item, key), from }] as const;
  });
  return new Map(entries);
}

type Read = <T>(value: T | undefined, ...path: string[]) => Sourced<T> | undefined;

function scalarsOf(front: Front<BottleData>, data: BottleData, base: PathBase): ScalarLayer {
  const read: Read = (value, ...path) =>
    value === undefined ? undefined : { value, from: front.place(path, "key") };
  const { agent_provider: provider } = data;
  const user = data["git-gate"]?.user;
  const tokenPath = provider?.auth_token === undefined ? [] : ["auth_token"];
  const tokenFrom = front.place(["agent_provider", ...tokenPath]);
  return {
    provider: read(provider && parseProvider(provider, base, tokenFrom), "agent_provider"),
    backend: read(data.backend, "backend"),
    attachment: read(data.attachment, "attachment"),
    runtime: read(data.runtime, "runtime"),
    supervise: read(data.supervise, "supervise"),
    gitUserName: read(user?.name || undefined, "git-gate", "user", "name"),
    gitUserEmail: read(user?.email || undefined, "git-gate", "user", "email"),
    ...(data.egress && egressScalars(data.egress, base, read)),
    ...(data.limits && limitScalars(data.limits, read)),
  };
}

function egressScalars(
  data: NonNullable<BottleData["egress"]>,
  base: PathBase,
  read: Read,
): ScalarLayer {
  const ca = data.upstream_ca?.map((path) => expandHostPath(path, base));
  return {
    log: read(data.log, "egress", "log"),
    pipelock: read(data.pipelock, "egress", "pipelock"),
    upstreamProxy: read(data.upstream_proxy, "egress", "upstream_proxy"),
    upstreamCa: read(ca, "egress", "upstream_ca"),
  };
}

function limitScalars(data: NonNullable<BottleData["limits"]>, read: Read): ScalarLayer {
  return {
    memoryBytes: read(data.memory, "limits", "memory"),
    processes: read(data.processes, "limits", "processes"),
    cpus: read(data.cpus, "limits", "cpus"),
    diskBytes: read(data.disk, "limits", "disk"),
  };
}
