/** The routes file of a bundle that is run by hand: small, strict, and JSON, which is YAML too. Pure. */
import * as z from "zod/mini";
import { UsageError } from "../base/errors.ts";
import { parseJson } from "../base/json.ts";
import { parseAuthority } from "../policy/authority.ts";
import type { CredentialCarrier, EgressPolicy, Resolution, Route } from "../policy/egress.ts";
import { refuseHostPattern } from "../policy/host-pattern.ts";
import { normalisePath } from "../policy/path.ts";
import {
  type Refused,
  refuseBasicUser,
  refuseHeaderName,
  refuseMethod,
  refuseQueryName,
} from "../policy/request-names.ts";
import { canonicalName, parseResolution } from "../policy/resolution.ts";
import type { IsOpenToStrangers } from "./load-suffixes.ts";

const text = z.string().check(z.minLength(1), z.maxLength(1024));
const route = z.strictObject({
  /** `host` or `host:port`; `*.` stands for one label. */
  host: text,
  /** Path prefixes; none means any. */
  paths: z.optional(z.array(text)),
  methods: z.optional(z.array(text)),
  /** Variable that holds the credential, `EGRESS_TOKEN_n`. */
  token: z.optional(text),
  /** `bearer` (default), `token`, `basic:USER`, `header:NAME` or `query:NAME`. */
  carrier: z.optional(text),
  /** What the client sends instead of the credential. */
  placeholder: z.optional(text),
  on_match: z.optional(z.enum(["block", "redact"])),
  scan: z.optional(z.boolean()),
  git_fetch: z.optional(z.boolean()),
});
const file = z.strictObject({
  routes: z.array(route).check(z.maxLength(1000)),
  /** Name to `address` or `address:port`, instead of DNS. */
  resolve: z.optional(z.record(z.string(), text)),
  log: z.optional(z.union([z.literal(0), z.literal(1), z.literal(2)])),
});

type RouteEntry = z.infer<typeof route>;

/** What the file says. */
export interface RoutesFile {
  readonly policy: EgressPolicy;
  readonly logLevel: 0 | 1 | 2 | undefined;
}

/** Where a routes file is, and who knows the public suffixes; asked for only where a wildcard is. */
export interface RoutesPlace {
  readonly path: string;
  readonly suffixes: () => IsOpenToStrangers | undefined;
}

/** Parses the file. Throws UsageError that names every place at fault. */
export function parseRoutesFile(content: string, place: RoutesPlace): RoutesFile {
  const { path } = place;
  const result = file.safeParse(parseContent(content, path));
  if (!result.success) {
    const places = result.error.issues
      .slice(0, 5)
      .map((it) => `${it.path.join(".") || "top level"}: ${it.message}`);
    throw unusable(path, places.join("; "));
  }
  const { routes, resolve = {}, log } = result.data;
  return {
    policy: {
      routes: routes.map((entry, index) => toRoute(entry, `routes[${index}]`, place)),
      resolve: toResolutions(resolve, path),
    },
    logLevel: log,
  };
}

function parseContent(content: string, path: string): unknown {
  try {
    return parseJson(content);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw unusable(path, "it is not JSON; of YAML only its JSON form is read");
  }
}

function toRoute(entry: RouteEntry, rule: string, place: RoutesPlace): Route {
  const { path } = place;
  const { host, port } = toHost(entry.host, `${path}: ${rule}.host`);
  if (host.startsWith("*.")) refuseStrangers(host, `${path}: ${rule}.host`, place);
  const { paths = [], methods = [], token } = entry;
  const isNarrow = paths.length > 0 || methods.length > 0;
  const match = {
    paths: paths.map((value) => toPrefix(value, `${path}: ${rule}.paths`)),
    methods: methods.map((it) =>
      orRefuse(it, refuseMethod, `${path}: ${rule}.methods`).toUpperCase(),
    ),
    headers: [],
  };
  return {
    rule,
    host,
    port,
    matches: isNarrow ? [match] : [],
    auth:
      token === undefined
        ? undefined
        : {
            carrier: toCarrier(entry.carrier ?? "bearer", `${path}: ${rule}.carrier`),
            slot: token,
            placeholder: entry.placeholder ?? `bot-bottle-placeholder-${token}`,
            requirePlaceholder: false,
          },
    outboundOnMatch: entry.on_match ?? "block",
    scansOutbound: entry.scan ?? true,
    allowsGitFetch: entry.git_fetch ?? false,
  };
}

function toHost(given: string, where: string): { host: string; port: number | undefined } {
  const isWildcard = given.startsWith("*.");
  const parsed = parseAuthority(isWildcard ? given.slice(2) : given, "https");
  if (!parsed.ok) throw unusable(where, "a host name, with a port or without, is expected");
  const { authority } = parsed;
  const host = isWildcard ? `*.${authority.host}` : authority.host;
  const refused = refuseHostPattern(host);
  if (refused !== undefined) throw unusable(where, refused);
  return { host, port: /:[0-9]+$/.test(given) ? authority.port : undefined };
}

/** The same refusal as that of a bottle file. */
function refuseStrangers(host: string, where: string, { suffixes }: RoutesPlace): void {
  const isOpenToStrangers = suffixes();
  const below = host.slice(2);
  if (isOpenToStrangers === undefined) {
    throw unusable(where, "the list of public suffixes is not there, and wildcards need it");
  }
  if (!isOpenToStrangers(below)) return;
  throw unusable(where, `${below} is a public suffix, below which names belong to strangers`);
}

function toCarrier(given: string, where: string): CredentialCarrier {
  const [, kind = "", name = ""] =
    /^(bearer|token|basic|header|query)(?::(.+))?$/.exec(given) ?? [];
  if ((kind === "bearer" || kind === "token") && name === "") return { kind };
  if (name !== "") {
    if (kind === "basic") return { kind, username: orRefuse(name, refuseBasicUser, where) };
    if (kind === "header") return { kind, name: orRefuse(name, refuseHeaderName, where) };
    if (kind === "query") return { kind, name: orRefuse(name, refuseQueryName, where) };
  }
  throw unusable(where, "bearer, token, basic:USER, header:NAME or query:NAME is expected");
}

function orRefuse(
  given: string,
  refuse: (text: string) => Refused | undefined,
  where: string,
): string {
  const refused = refuse(given);
  if (refused === undefined) return given;
  throw unusable(
    where,
    `${JSON.stringify(given)} ${refused.seen}; ${refused.expected} is expected`,
  );
}

/** A prefix that no request could ever have would look like a rule and be none. */
function toPrefix(given: string, where: string): { kind: "prefix"; value: string } {
  const normal = normalisePath(given);
  if (normal.ok && normal.path === given) return { kind: "prefix", value: given };
  const expected = normal.ok ? `, ${JSON.stringify(normal.path)},` : " that begins with a slash";
  const seen = normal.ok ? "no request has it so" : normal.reason;
  throw unusable(
    where,
    `${JSON.stringify(given)}: ${seen}; a path as requests have it${expected} is expected`,
  );
}

function toResolutions(
  resolve: Readonly<Record<string, string>>,
  path: string,
): EgressPolicy["resolve"] {
  const entries = Object.entries(resolve).map(([given, to]) => {
    const where = `${path}: resolve.${given}`;
    const name = canonicalName(given);
    if (name === undefined) throw unusable(where, "a host name without a port is expected");
    return [name, toResolution(to, where)] as const;
  });
  const names = entries.map(([name]) => name);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) throw unusable(`${path}: resolve`, `${twice} is in it twice`);
  return Object.fromEntries(entries);
}

function toResolution(given: string, where: string): Resolution {
  const to = parseResolution(given);
  if (typeof to !== "string") return to;
  const what = to === "no-address" ? "no address" : "no port behind the address";
  throw unusable(
    where,
    `${JSON.stringify(given)} has ${what}; an address such as 10.0.0.5:8443 or [::1]:8443 is expected`,
  );
}

function unusable(where: string, why: string): UsageError {
  return new UsageError("usage.invalid", `${where} cannot be used: ${why}`, {
    hint: "see docs/bundle.md",
  });
}
