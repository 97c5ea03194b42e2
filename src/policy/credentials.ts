/**
 * The credential rule: on a route with auth exactly one credential leaves, the real one, at the declared carrier; a
 * placeholder never goes to a host that is not its own. Works on names and slots, never on real values.
 */
import { deny } from "./decide.ts";
import type { CredentialCarrier, Route, RouteAuth } from "./egress.ts";
import { type HeaderList, looseHeaderName } from "./headers.ts";
import { isOwnPlaceholder, type Placeholder, placeholdersIn } from "./placeholders.ts";
import { looseFieldName, parseQuery, type QueryPair, removePairs } from "./query.ts";
import type { Deny } from "./verdict.ts";

/** Where the real value of a slot goes. */
export type Injection =
  | {
      readonly kind: "header";
      readonly name: string;
      readonly carrier: CredentialCarrier;
      readonly slot: string;
    }
  | { readonly kind: "query"; readonly name: string; readonly slot: string }
  /** Into the body, by json-credential.ts. */
  | { readonly kind: "json"; readonly pointer: string; readonly slot: string };

/** What is done to the request before it is sent. */
export type CredentialPlan =
  | {
      readonly ok: true;
      /** Loose names: every header of these names is dropped. */
      readonly dropHeaders: readonly string[];
      /** The query without the credential fields that the guest sent. */
      readonly query: string;
      readonly inject: Injection | undefined;
    }
  | { readonly ok: false; readonly verdict: Deny };

/** Headers that carry credentials wherever a route has auth; a foreign value in one is refused. */
export const CREDENTIAL_HEADERS: readonly string[] = [
  "authorization",
  "proxy-authorization",
  "x-api-key",
  "api-key",
  "x-goog-api-key",
  "x-auth-token",
  "private-token",
];

/** Query fields that carry credentials wherever a route has auth (RFC 6750, GitLab, Google and others). */
const CREDENTIAL_FIELDS: readonly string[] = [
  "access_token",
  "private_token",
  "key",
  "api_key",
  "apikey",
];

/** Offers subprotocols of WebSocket; browsers can send credentials in no other header. */
const PROTOCOLS = "sec-websocket-protocol";
const CREDENTIAL_PROTOCOL =
  /^(?:openai-insecure-api-key|base64url\.bearer\.authorization\.k8s\.io)\.(.*)$/i;

/** Ours alone: it speaks to this proxy and is never forwarded. */
const ALWAYS_DROPPED = "proxy-authorization";

/** Plans the credentials of one request that policy allowed. */
export function planCredentials(
  route: Route,
  headers: HeaderList,
  query: string,
  allPlaceholders: readonly Placeholder[],
): CredentialPlan {
  const pairs = parseQuery(query);
  const { others, context } = tablesOf(route, allPlaceholders);
  const elsewhere = findElsewhere(route, headers, pairs, others);
  if (elsewhere !== undefined) return { ok: false, verdict: elsewhere };
  if (context === undefined) {
    return { ok: true, dropHeaders: [ALWAYS_DROPPED], query, inject: undefined };
  }
  return planInjection(context, { headers, query, pairs });
}

/** What follows from a route alone. */
interface RouteTables {
  readonly all: readonly Placeholder[];
  /** Placeholders of other hosts. */
  readonly others: readonly Placeholder[];
  readonly context: AuthContext | undefined;
}

const tables = new WeakMap<Route, RouteTables>();

function tablesOf(route: Route, all: readonly Placeholder[]): RouteTables {
  const known = tables.get(route);
  if (known?.all === all) return known;
  const own = new Set(all.filter((it) => isOwnPlaceholder(it, route)).map((it) => it.value));
  const others = all.filter((it) => !own.has(it.value));
  const { auth } = route;
  const made = { all, others, context: auth && contextOf(route, auth) };
  tables.set(route, made);
  return made;
}

function contextOf(route: Route, auth: RouteAuth): AuthContext {
  const inject = injectionOf(auth);
  const names = new Set([
    ...CREDENTIAL_HEADERS,
    ...(inject.kind === "header" ? [looseHeaderName(inject.name)] : []),
  ]);
  const fields = new Set([
    ...CREDENTIAL_FIELDS,
    ...(inject.kind === "query" ? [fieldName(inject.name)] : []),
  ]);
  const own = ownPlaceholders(auth);
  return { route, auth, own, inject, names, fields, dropHeaders: [...names] };
}

const fieldName = (name: string): string => looseFieldName(name).replaceAll("-", "_");

/** The first placeholder that came to a host not its own, in any header or query field. */
function findElsewhere(
  route: Route,
  headers: HeaderList,
  pairs: readonly QueryPair[],
  others: readonly Placeholder[],
): Deny | undefined {
  if (others.length === 0) return undefined;
  const values: [string, string][] = [
    ...headers.map(([name, value]): [string, string] => [`header ${headerName(name)}`, value]),
    ...pairs.map((pair): [string, string] => ["query", `${pair.name}=${pair.value}`]),
  ];
  for (const [where, value] of values) {
    const [found] = placeholdersIn(value, others);
    if (found === undefined) continue;
    const explanation = `the placeholder of ${found.host} was sent to ${route.host} in its ${where}; a placeholder works at its own host only`;
    return deny("placeholder-elsewhere", route.rule, explanation);
  }
  return undefined;
}

/** A header's name for an explanation; odd ones are not repeated. */
const headerName = (name: string): string =>
  /^[A-Za-z0-9-]{1,40}$/.test(name) ? name : "with an odd name";

const ownPlaceholders = (auth: RouteAuth): readonly Placeholder[] => [
  { value: auth.placeholder, host: "", port: undefined },
];

interface AuthContext {
  readonly route: Route;
  readonly auth: RouteAuth;
  readonly own: readonly Placeholder[];
  readonly inject: Injection;
  /** Loose names of headers, and loose names of fields, where credentials stand. */
  readonly names: ReadonlySet<string>;
  readonly fields: ReadonlySet<string>;
  readonly dropHeaders: readonly string[];
}

/** What the guest sent. */
interface Sent {
  readonly headers: HeaderList;
  readonly query: string;
  readonly pairs: readonly QueryPair[];
}

function planInjection(context: AuthContext, { headers, query, pairs }: Sent): CredentialPlan {
  const { inject, names, fields, dropHeaders } = context;
  const isField = (pair: QueryPair): boolean => fields.has(fieldName(pair.name));
  const found = pairs.filter(isField);
  const sent: (readonly [string, string])[] = [
    ...headers.filter(([name]) => names.has(looseHeaderName(name))),
    ...protocolCredentials(headers),
    ...found.map((pair) => ["query field", pair.value] as const),
  ];
  const verdict = judgeSent(context, sent);
  if (verdict !== undefined) return { ok: false, verdict };
  const rest = found.length === 0 ? query : removePairs(query, isField);
  return { ok: true, dropHeaders, query: rest, inject };
}

/** Judges the values that the guest put where credentials stand. */
function judgeSent(
  { route, auth, own }: AuthContext,
  sent: readonly (readonly [string, string])[],
): Deny | undefined {
  let hasPlaceholder = false;
  for (const [where, value] of sent) {
    if (value.trim() === "") continue;
    if (placeholdersIn(value, own).length === 0) {
      const explanation = `${where.toLowerCase()} holds a credential that is not the bottle's placeholder for ${route.host}; send the placeholder or nothing, or remove auth from ${route.rule}`;
      return deny("foreign-credential", route.rule, explanation);
    }
    hasPlaceholder = true;
  }
  // Whether a body holds it is judged when the body is there.
  const isSeen = hasPlaceholder || auth.carrier.kind === "json";
  if (isSeen || !auth.requirePlaceholder) return undefined;
  const explanation = `${route.rule} requires the placeholder of ${route.host} and the request came without it; send it where the credential belongs`;
  return deny("placeholder-missing", route.rule, explanation);
}

/** Credentials among the subprotocols that the guest offers. */
function protocolCredentials(headers: HeaderList): HeaderList {
  return headers
    .filter(([name]) => looseHeaderName(name) === PROTOCOLS)
    .flatMap(([name, value]) =>
      value.split(",").flatMap((it): [string, string][] => {
        const credential = CREDENTIAL_PROTOCOL.exec(it.trim())?.[1];
        return credential === undefined ? [] : [[name, credential]];
      }),
    );
}

/** Takes the subprotocols that carry a credential out of what is offered. */
export function withoutProtocolCredentials(headers: HeaderList): HeaderList {
  if (protocolCredentials(headers).length === 0) return headers;
  return headers.flatMap(([name, value]): [string, string][] => {
    if (looseHeaderName(name) !== PROTOCOLS) return [[name, value]];
    const kept = value.split(",").filter((it) => !CREDENTIAL_PROTOCOL.test(it.trim()));
    return kept.length === 0 ? [] : [[name, kept.join(",").trim()]];
  });
}

function injectionOf(auth: RouteAuth): Injection {
  const { carrier, slot } = auth;
  if (carrier.kind === "query") return { kind: "query", name: carrier.name, slot };
  if (carrier.kind === "json") return { kind: "json", pointer: carrier.pointer, slot };
  const name = carrier.kind === "header" ? carrier.name : "Authorization";
  return { kind: "header", name, carrier, slot };
}

/** Puts a real value into the form of its carrier; undefined when the value cannot stand in a header. */
export function renderCredential(carrier: CredentialCarrier, value: string): string | undefined {
  if (carrier.kind === "basic") {
    return `Basic ${Buffer.from(`${carrier.username}:${value}`, "utf8").toString("base64")}`;
  }
  if (carrier.kind === "query") return encodeURIComponent(value.toWellFormed());
  if (carrier.kind === "json") return value.toWellFormed();
  if (!/^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/.test(value)) return undefined;
  if (carrier.kind === "header") return value;
  return carrier.kind === "token" ? `token ${value}` : `Bearer ${value}`;
}

/** Adds the real value to a query. */
export function setQueryCredential(query: string, name: string, value: string): string {
  const pair = `${encodeURIComponent(name)}=${encodeURIComponent(value.toWellFormed())}`;
  return query === "" ? pair : `${query}&${pair}`;
}
