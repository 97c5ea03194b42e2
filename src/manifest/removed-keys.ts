/**
 * Keys of earlier manifests. Each is answered with what to write now, and taken out of the data, so that the schema does not
 * report it a second time.
 */
import type { Fault, FaultPath } from "./issues.ts";

interface Removed {
  /** Keys to the map that held it; `*` is any key or index. */
  readonly at: readonly string[];
  readonly key: RegExp;
  /** What to write now. */
  readonly instead: string;
  /** Why it is refused, where it is not merely old. */
  readonly why?: string;
  /** Restricts the rule to some values, where the key itself is still valid. */
  readonly when?: (value: unknown) => boolean;
}

const ROUTE = ["egress", "routes", "*"];
const REPO = ["git-gate", "repos", "*"];
const REMOTES = "write git-gate: { repos: { NAME: { url, host_key, key } } }";
const USER = "write git-gate: { user: { name, email } }";
const ROUTE_AUTH = "write a route with auth: { scheme, token_ref } under egress.routes";

const BOTTLE_KEYS: readonly Removed[] = [
  { at: [], key: /^ssh$/, instead: `${REMOTES} with key: { provider: static, path }` },
  {
    at: [],
    key: /^runtime$/,
    instead: "write runtime: runsc",
    when: (it) => typeof it === "boolean",
  },
  { at: [], key: /^(?:tokens|cred_proxy)$/, instead: ROUTE_AUTH },
  { at: [], key: /^egress_proxy$/, instead: "write its routes under egress.routes" },
  { at: [], key: /^git$/, instead: `${REMOTES}, and ${USER.slice("write ".length)}` },
  { at: [], key: /^git_user$/, instead: USER },
  {
    at: [],
    key: /^capabilit(?:y|ies)(?:[-_].*)?$/,
    instead: "name the tools in the Dockerfile of agent_provider.dockerfile",
  },
  { at: ["git-gate"], key: /^remotes$/, instead: REMOTES },
  {
    at: ["egress"],
    key: /^allowlist$/,
    instead: "write one entry per host: egress.routes: [{ host }]",
  },
  {
    at: ROUTE,
    key: /^path_allowlist$/,
    instead: "write matches: [{ paths: [{ type: prefix, value }] }]",
  },
  {
    at: ROUTE,
    key: /^pipelock$/,
    instead: "write egress.pipelock, and egress.resolve for a private address",
  },
  { at: ROUTE, key: /^role$/, instead: "remove it: the key is reserved" },
  { at: REPO, key: /^identity$/, instead: "write key: { provider: static, path }" },
  {
    at: REPO,
    key: /^provisioned_key$/,
    instead: "write key: { provider: gitea, forge_token_env }",
  },
  {
    at: [...REPO, "key"],
    key: /^(?:token_env|provisioner_token)$/,
    instead: "write forge_token_env",
  },
];

const BOTTLE_ONLY = {
  why: "is for bottles only",
  instead: "write it in a bottle file, under the operator's home",
};
const AGENT_KEYS: readonly Removed[] = [
  { at: ["git-gate"], key: /^(?:repos|remotes)$/, ...BOTTLE_ONLY },
  { at: [], key: /^git_user$/, instead: USER },
  {
    at: [],
    key: /^(?:env|extends|agent_provider|egress|supervise|backend|attachment|runtime|limits|mounts|git|ssh|tokens)$/,
    ...BOTTLE_ONLY,
  },
];

/** What is left of a front matter, and the faults of what was taken out. */
export interface Cleaned {
  readonly value: unknown;
  readonly faults: readonly Fault[];
}

/** Takes the removed keys out of a bottle's front matter. */
export function cleanBottle(value: unknown): Cleaned {
  return clean(value, BOTTLE_KEYS);
}

/** Takes the keys out of an agent's front matter that only bottles may have. */
export function cleanAgent(value: unknown): Cleaned {
  return clean(value, AGENT_KEYS);
}

function clean(value: unknown, rules: readonly Removed[]): Cleaned {
  const faults: Fault[] = [];
  return { value: walk(value, [], { rules, faults }), faults };
}

interface Walk {
  readonly rules: readonly Removed[];
  readonly faults: Fault[];
}

/** The path is followed only as deep as some rule reaches, so arbitrary data below is left alone. */
function walk(value: unknown, path: FaultPath, context: Walk): unknown {
  const isOnTheWay = context.rules.some((rule) => leadsTo(rule.at, path));
  if (!isOnTheWay || typeof value !== "object" || value === null) return value;
  if (Array.isArray(value))
    return value.map((item, index) => walk(item, [...path, index], context));
  const kept: Record<string, unknown> = {};
  for (const [key, item] of Object.entries(value)) {
    const rule = context.rules.find(
      (it) =>
        it.at.length === path.length &&
        it.key.test(key) &&
        leadsTo(it.at, path) &&
        (it.when?.(item) ?? true),
    );
    const own = [...path, key];
    if (rule === undefined) {
      kept[key] = walk(item, own, context);
      continue;
    }
    const predicate = `${rule.why ?? "is no longer accepted"}; ${rule.instead}`;
    context.faults.push({ path: own, at: "key", predicate, hint: undefined });
  }
  return kept;
}

function leadsTo(pattern: readonly string[], path: FaultPath): boolean {
  return (
    path.length <= pattern.length &&
    path.every((part, i) => pattern[i] === "*" || pattern[i] === part)
  );
}
