/**
 * How bottles become one. A child replaces what it declares; bottles side by side (several parents, several `--bottle`) are
 * united, the later one winning. What a later bottle merely inherited from a file that is already in is not repeated, so
 * that a shared ancestor never undoes what another bottle overrode.
 */
import {
  type BottleLayer,
  type Keyed,
  type ProviderLayer,
  renderPlace,
  type ScalarLayer,
  type Scalars,
  type Sourced,
} from "./layer.ts";

const SCALAR_KEYS = [
  "provider",
  "backend",
  "attachment",
  "runtime",
  "supervise",
  "log",
  "pipelock",
  "upstreamProxy",
  "upstreamCa",
  "gitUserName",
  "gitUserEmail",
  "memoryBytes",
  "processes",
  "cpus",
  "diskBytes",
] as const satisfies readonly (keyof Scalars)[];

type MutableScalars = { -readonly [K in keyof ScalarLayer]: ScalarLayer[K] };
type IsNew = (entry: Sourced<unknown>) => boolean;

/**
 * A bottle on top of its combined parent. Maps of variables merge; egress routes and log, repositories, mounts and resolve
 * are replaced as a whole when the child declares them, an empty list clears; everything else is inherited key by key.
 */
export function mergeChild(parent: BottleLayer, child: BottleLayer): BottleLayer {
  const scalars: MutableScalars = mergeScalars(parent.scalars, child.scalars, () => true);
  if (child.routes !== undefined) scalars.log = child.scalars.log;
  return {
    parts: uniteParts(parent, child),
    scalars,
    env: uniteKeyed(parent.env, child.env, () => true),
    routes: child.routes ?? parent.routes,
    resolve: child.resolve ?? parent.resolve,
    repos: child.repos ?? parent.repos,
    mounts: child.mounts ?? parent.mounts,
    warnings: [...parent.warnings, ...child.warnings, ...lostRoutes(parent, child)],
  };
}

/** Bottles side by side, folded left to right. At least one is expected. */
export function mergeBottles(ordered: readonly [BottleLayer, ...BottleLayer[]]): BottleLayer {
  const [first, ...rest] = ordered;
  return rest.reduce(unite, first);
}

function unite(before: BottleLayer, later: BottleLayer): BottleLayer {
  const known = new Set(before.parts.map((part) => part.file));
  const isNew: IsNew = (entry) => !known.has(entry.from.file);
  return {
    parts: uniteParts(before, later),
    scalars: mergeScalars(before.scalars, later.scalars, isNew),
    env: uniteKeyed(before.env, later.env, isNew),
    routes: uniteKeyed(before.routes, later.routes, isNew),
    resolve: uniteKeyed(before.resolve, later.resolve, isNew),
    repos: uniteRepos(before.repos, later.repos, isNew),
    mounts: uniteKeyed(before.mounts, later.mounts, isNew),
    warnings: [...before.warnings, ...later.warnings, ...replacedRoutes(before, later, isNew)],
  };
}

function uniteParts(before: BottleLayer, later: BottleLayer): BottleLayer["parts"] {
  const known = new Set(before.parts.map((part) => part.file));
  return [...before.parts, ...later.parts.filter((part) => !known.has(part.file))];
}

function mergeScalars(before: ScalarLayer, later: ScalarLayer, isNew: IsNew): MutableScalars {
  const merged: MutableScalars = { ...before };
  for (const key of SCALAR_KEYS) take(merged, later, { key, isNew });
  merged.provider = mergeProvider(before.provider, later.provider, isNew);
  return merged;
}

function take<K extends keyof ScalarLayer>(
  merged: MutableScalars,
  later: ScalarLayer,
  how: { readonly key: K; readonly isNew: IsNew },
): void {
  const value: ScalarLayer[K] = later[how.key];
  if (value === undefined) return;
  if (merged[how.key] === undefined || how.isNew(value)) merged[how.key] = value;
}

/** A declared template starts afresh: a credential of one agent must not end up with another. */
function mergeProvider(
  before: Sourced<ProviderLayer> | undefined,
  later: Sourced<ProviderLayer> | undefined,
  isNew: IsNew,
): Sourced<ProviderLayer> | undefined {
  if (before === undefined || later === undefined) return later ?? before;
  if (!isNew(later)) return before;
  if (later.value.template !== undefined) return later;
  const declared = Object.entries(later.value).filter(([, value]) => value !== undefined);
  return { value: { ...before.value, ...Object.fromEntries(declared) }, from: later.from };
}

function uniteKeyed<T>(
  before: Keyed<T> | undefined,
  later: Keyed<T> | undefined,
  isNew: IsNew,
): Keyed<T> | undefined {
  if (before === undefined || later === undefined) return later ?? before;
  const merged = new Map(before);
  for (const [key, entry] of later) if (!merged.has(key) || isNew(entry)) merged.set(key, entry);
  return merged;
}

/** Repositories of one name merge key by key: a pinned host key stays unless the later bottle pins another. */
function uniteRepos(
  before: BottleLayer["repos"],
  later: BottleLayer["repos"],
  isNew: IsNew,
): BottleLayer["repos"] {
  if (before === undefined || later === undefined) return later ?? before;
  const merged = new Map(before);
  for (const [name, entry] of later) {
    const old = before.get(name);
    if (old === undefined) merged.set(name, entry);
    else if (isNew(entry)) {
      const hostKey = entry.value.hostKey ?? old.value.hostKey;
      merged.set(name, { value: { ...entry.value, hostKey }, from: entry.from });
    }
  }
  return merged;
}

function replacedRoutes(before: BottleLayer, later: BottleLayer, isNew: IsNew): readonly string[] {
  return [...(later.routes ?? [])].flatMap(([key, entry]) => {
    const old = before.routes?.get(key);
    if (old === undefined || !isNew(entry)) return [];
    const host = key.replace(/:$/, "");
    return [`route ${host}: ${renderPlace(entry.from)} replaces ${renderPlace(old.from)}`];
  });
}

/** A child that writes `egress:` without routes denies everything; that is worth a word when its parent had some. */
function lostRoutes(parent: BottleLayer, child: BottleLayer): readonly string[] {
  const inherited = parent.routes?.size ?? 0;
  if (child.routes?.size !== 0 || inherited === 0) return [];
  const name = child.parts.at(-1)?.name ?? "";
  return [
    `bottle ${name} declares egress without routes: the ${inherited} of its parents do not count`,
  ];
}
