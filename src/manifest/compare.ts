/** Faults between several values of one file. The data has not been judged yet, so anything may stand anywhere. */
import { parseGuestMount } from "./host-paths.ts";
import { parseRouteHost } from "./hosts.ts";
import type { Fault, FaultPath } from "./issues.ts";

/** Faults of a bottle's front matter that no single value shows. */
export function compareBottle(value: unknown): readonly Fault[] {
  return [
    ...repeated(value, {
      path: ["egress", "routes"],
      keyOf: routeKey,
      expected: "one entry per host",
    }),
    ...repeated(value, { path: ["mounts"], keyOf: guestPath, expected: "one mount per place" }),
    ...repeated(value, { path: ["extends"], keyOf: asText, expected: "each bottle once" }),
    ...emptyUser(value),
    ...tokenRefs(value),
  ];
}

/** Faults of an agent's front matter that no single value shows. */
export function compareAgent(value: unknown): readonly Fault[] {
  return [
    ...repeated(value, { path: ["skills"], keyOf: asText, expected: "each skill once" }),
    ...emptyUser(value),
  ];
}

function at(value: unknown, path: FaultPath): unknown {
  return path.reduce<unknown>((node, part) => {
    if (typeof node !== "object" || node === null || !Object.hasOwn(node, part)) return undefined;
    return Reflect.get(node, part);
  }, value);
}

function listAt(value: unknown, path: FaultPath): readonly unknown[] {
  const found = at(value, path);
  return Array.isArray(found) ? found : [];
}

function asText(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

function textAt(value: unknown, key: string): string | undefined {
  return asText(at(value, [key]));
}

/** Key of a route: one entry per host and port. */
function routeKey(route: unknown): string | undefined {
  const parsed = parseRouteHost(textAt(route, "host") ?? "");
  return parsed.kind === "ok" ? `${parsed.value.host}:${parsed.value.port ?? ""}` : undefined;
}

function guestPath(mount: unknown): string | undefined {
  const parsed = parseGuestMount(textAt(mount, "guest") ?? "");
  return parsed.kind === "ok" ? parsed.value : undefined;
}

interface Unique {
  readonly path: FaultPath;
  readonly keyOf: (item: unknown) => string | undefined;
  readonly expected: string;
}

/** Entries of a list that say the same thing twice. */
function repeated(value: unknown, { path, keyOf, expected }: Unique): readonly Fault[] {
  const first = new Map<string, number>();
  return listAt(value, path).flatMap((item, index) => {
    const key = keyOf(item);
    if (key === undefined) return [];
    const before = first.get(key);
    if (before === undefined) {
      first.set(key, index);
      return [];
    }
    const predicate = `repeats entry [${before}]; ${expected} is expected`;
    return [{ path: [...path, index], at: "value" as const, predicate, hint: undefined }];
  });
}

function emptyUser(value: unknown): readonly Fault[] {
  const path = ["git-gate", "user"];
  const user = at(value, path);
  if (typeof user !== "object" || user === null || Array.isArray(user)) return [];
  const isGiven = Object.values(user).some((it) => typeof it !== "string" || it.trim() !== "");
  if (isGiven) return [];
  return [
    { path, at: "value", predicate: "is empty; a name or an email is expected", hint: undefined },
  ];
}

/** A credential in map form has exactly one source. */
function tokenRefs(value: unknown): readonly Fault[] {
  const routes = listAt(value, ["egress", "routes"]).map((_, i) => [
    "egress",
    "routes",
    i,
    "auth",
    "token_ref",
  ]);
  return [...routes, ["agent_provider", "auth_token"]].flatMap((path) => {
    const ref = at(value, path);
    if (typeof ref !== "object" || ref === null || Array.isArray(ref)) return [];
    const sources = ["file", "command"].filter((key) => Object.hasOwn(ref, key));
    if (sources.length === 1) return [];
    const seen = sources.length === 0 ? "has no source" : "has two sources";
    return [
      {
        path,
        at: "value" as const,
        predicate: `${seen}; either file or command is expected`,
        hint: undefined,
      },
    ];
  });
}
