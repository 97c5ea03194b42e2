/**
 * The decisions of egress: default deny, one function for tunnels and one for requests. Pure: the same policy and the
 * same request always give the same verdict.
 */
import { type Authority, defaultPort, formatAuthority, type Scheme } from "./authority.ts";
import type { EgressPolicy, RequestMatch, Resolution, Route } from "./egress.ts";
import { type GitOperation, gitOperation } from "./git.ts";
import { type HeaderList, headerValues, looseHeaderName } from "./headers.ts";
import { isWildcard, matchesHost } from "./host-pattern.ts";
import { matchesHeaderValue, matchesPath, matchesSlashedPath } from "./match-path.ts";
import { classifyAddress, isForbidden, isForbiddenForResolve } from "./network.ts";
import { readingsOf } from "./path.ts";
import type { Allow, Deny, ReasonCode } from "./verdict.ts";

/** A request after its authority and path have got their canonical forms. */
export interface PolicyRequest {
  readonly scheme: Scheme;
  readonly authority: Authority;
  readonly method: string;
  /** Normalised, without query. */
  readonly path: string;
  /** Without the question mark; empty when there is none. */
  readonly query: string;
  readonly headers: HeaderList;
}

/** A verdict with the route that it was made by; a denial for want of a route has none. */
export type Decision =
  | { readonly verdict: Allow; readonly route: Route }
  | { readonly verdict: Deny; readonly route: Route | undefined };

/** Name of the rule that stands when no route does. */
export const DEFAULT_RULE = "default-deny";
/** Name of the rule that addresses are refused by. */
export const ADDRESS_RULE = "forbidden-address";

/** Makes a denial. */
export function deny(reason: ReasonCode, rule: string, explanation: string): Deny {
  return { kind: "deny", reason, rule, explanation };
}

const allow = (route: Route): Decision => ({ verdict: { kind: "allow", rule: route.rule }, route });

const refuse = (route: Route, reason: ReasonCode, explanation: string): Decision => ({
  verdict: deny(reason, route.rule, explanation),
  route,
});

function serves(route: Route, scheme: Scheme, authority: Authority): boolean {
  const port = route.port ?? defaultPort(scheme);
  return matchesHost(route.host, authority.host) && port === authority.port;
}

/** Routes that cover an endpoint, in the order of the policy. Where one names the host itself, wildcards do not count. */
export function routesFor(
  policy: EgressPolicy,
  scheme: Scheme,
  authority: Authority,
): readonly Route[] {
  const all = policy.routes.filter((route) => serves(route, scheme, authority));
  const exact = all.filter((route) => !isWildcard(route.host));
  return exact.length > 0 ? exact : all;
}

function refuseHost(policy: EgressPolicy, authority: Authority): Decision {
  const asked = formatAuthority(authority);
  const entry = authority.port === 443 ? authority.host : asked;
  const known = policy.routes.some((route) => matchesHost(route.host, authority.host));
  const seen = known ? "the host is allowed on other ports or schemes only" : "no route names it";
  const hint = `add "- host: ${entry}" under egress.routes of the bottle file`;
  const explanation = `${asked} is not allowed: ${seen}; ${hint}, or start with --allow ${entry}`;
  return { verdict: deny("host-not-allowed", DEFAULT_RULE, explanation), route: undefined };
}

/** No route names an address, so that none is advised: a name that `egress.resolve` leads there is the way. */
function refuseAddress(authority: Authority): Decision {
  const asked = formatAuthority(authority);
  const how = "ask for a host name; the operator leads one to an address with egress.resolve";
  const explanation = `${asked} is an address, and no route can name one; ${how} of the bottle file`;
  return { verdict: deny("address-forbidden", ADDRESS_RULE, explanation), route: undefined };
}

/** Judges CONNECT: a tunnel is for https, and its requests are judged one by one when they come. */
export function decideConnect(policy: EgressPolicy, authority: Authority): Decision {
  if (authority.kind !== "name") return refuseAddress(authority);
  const [route] = routesFor(policy, "https", authority);
  return route === undefined ? refuseHost(policy, authority) : allow(route);
}

/** Judges one request. */
export function decideRequest(policy: EgressPolicy, request: PolicyRequest): Decision {
  if (request.authority.kind !== "name") return refuseAddress(request.authority);
  const routes = routesFor(policy, request.scheme, request.authority);
  const [first] = routes;
  if (first === undefined) return refuseHost(policy, request.authority);
  const git = gitOf(request);
  if (git === "push") return refuse(first, "git-push-refused", GIT_PUSH);
  const route = routes.find((it) => matchesRequest(it, request));
  if (route === undefined) return refuseMatch(first, request);
  const override = route.matches.length > 0 ? overrideIn(request.headers) : undefined;
  if (override !== undefined) return refuse(route, "no-match", explainOverride(route, override));
  if (git === "fetch" && !route.allowsGitFetch) {
    return refuse(route, "git-fetch-refused", explainGitFetch(route));
  }
  if (request.scheme === "http" && route.auth !== undefined) {
    return refuse(route, "plain-http-credential", explainPlainHttp(route));
  }
  return allow(route);
}

/** Headers by which servers take a request for another one than its line says. */
const OVERRIDES: ReadonlySet<string> = new Set([
  "x-http-method",
  "x-http-method-override",
  "x-method-override",
  "x-original-url",
  "x-rewrite-url",
]);

const overrideIn = (headers: HeaderList): string | undefined =>
  headers.map(([name]) => looseHeaderName(name)).find((name) => OVERRIDES.has(name));

const explainOverride = (route: Route, header: string): string =>
  `servers may take ${header} for method or path of the request, which the matches of ${route.rule} were not asked about; send the request without that header`;

const GIT_PUSH =
  "pushing over https is never allowed, because nothing scans it; " +
  "commit in the workspace and let the operator push";

const explainGitFetch = (route: Route): string =>
  `fetching from git over https is not allowed on ${route.host}: ` +
  `set git: { fetch: true } on ${route.rule}`;

const explainPlainHttp = (route: Route): string =>
  `plain http to ${route.host} is refused because ${route.rule} has auth: ` +
  "a credential only travels over https; use https";

/** What either reading of the path means to git; a push counts most. */
function gitOf({ path, query, headers }: PolicyRequest): GitOperation | undefined {
  const found = readingsOf(path).map((reading) => gitOperation(reading, query, headers));
  return found.find((it) => it === "push") ?? found.find((it) => it !== undefined);
}

function refuseMatch(route: Route, request: PolicyRequest): Decision {
  const isHalf = readingsOf(request.path).length > 1 && matchesSomeReading(route, request);
  return refuse(
    route,
    "no-match",
    isHalf ? explainReadings(route, request) : explainNoMatch(route, request),
  );
}

function explainReadings(route: Route, { authority }: PolicyRequest): string {
  const seen = `servers read the escaped slash in this path of ${formatAuthority(authority)} in two ways, and the matches of ${route.rule} allow one of them`;
  return `${seen}; add a path that allows the other one too`;
}

function explainNoMatch(route: Route, request: PolicyRequest): string {
  const asked = `${printable(request.method)} to this path of ${formatAuthority(request.authority)}`;
  return `${asked} satisfies none of the matches of ${route.rule}; add an entry with its path and method under matches of that route`;
}

const printable = (method: string): string =>
  /^[A-Za-z-]{1,20}$/.test(method) ? method.toUpperCase() : "this method";

/** Tells whether one entry of a route's matches holds, for each of the ways in which servers may read the path. */
export function matchesRequest(route: Route, request: PolicyRequest): boolean {
  return readingsOf(request.path).every((_, reading) => matchesReading(route, request, reading));
}

function matchesSomeReading(route: Route, request: PolicyRequest): boolean {
  return readingsOf(request.path).some((_, reading) => matchesReading(route, request, reading));
}

function matchesReading(route: Route, request: PolicyRequest, reading: number): boolean {
  const path = readingsOf(request.path)[reading] ?? request.path;
  const fits = reading === 0 ? matchesPath : matchesSlashedPath;
  return (
    route.matches.length === 0 ||
    route.matches.some(
      (match) =>
        (match.paths.length === 0 || match.paths.some((it) => fits(it, path))) &&
        holdsBeside(match, request),
    )
  );
}

/** Everything but the path: of the methods one is enough, each header must be there. */
function holdsBeside({ methods, headers }: RequestMatch, request: PolicyRequest): boolean {
  if (methods.length > 0 && !methods.includes(request.method)) return false;
  return headers.every((match) => {
    const values = headerValues(request.headers, match.name);
    // A second, different header would leave it to the server which one counts.
    return values.length > 0 && values.every((it) => matchesHeaderValue(match, it));
  });
}

/** Where `egress.resolve` leads a name, undefined where DNS decides. */
export function resolutionOf(policy: EgressPolicy, authority: Authority): Resolution | undefined {
  if (authority.kind !== "name" || !Object.hasOwn(policy.resolve, authority.host)) return undefined;
  return policy.resolve[authority.host];
}

/** Judges all addresses that a host leads to: one forbidden answer refuses them all. */
export function decideAddresses(
  policy: EgressPolicy,
  authority: Authority,
  addresses: readonly string[],
): Deny | undefined {
  const isResolved = resolutionOf(policy, authority) !== undefined;
  const isRefused = isResolved ? isForbiddenForResolve : isForbidden;
  const bad = addresses.find(isRefused);
  if (bad === undefined) return undefined;
  const kind = classifyAddress(bad);
  const hint = isResolved
    ? "egress.resolve cannot lead there"
    : `where this is meant, add "${authority.host}: <address>" under egress.resolve of the bottle file`;
  const rule = isResolved ? "egress.resolve" : ADDRESS_RULE;
  const explanation = `${formatAuthority(authority)} leads to a ${kind} address, which a bottle must not reach; ${hint}`;
  return deny("address-forbidden", rule, explanation);
}
