/** Which rule decides about a request, and why: the same decision as egress makes, taken apart for people. Pure. */
import {
  type Authority,
  formatAuthority,
  formatHostHeader,
  parseAuthority,
  type Scheme,
} from "./authority.ts";
import { planCredentials } from "./credentials.ts";
import {
  type Decision,
  decideConnect,
  decideRequest,
  deny,
  type PolicyRequest,
  routesFor,
} from "./decide.ts";
import type { EgressPolicy, RequestMatch, Route } from "./egress.ts";
import { explainCarrier, explainPath } from "./explain.ts";
import { type HeaderList, headerValues } from "./headers.ts";
import { matchesHost } from "./host-pattern.ts";
import { ALLOWLIST_PATH, INTROSPECTION_RULE, isIntrospection } from "./introspect.ts";
import { matchesHeaderValue, matchesPath, matchesSlashedPath } from "./match-path.ts";
import { isMethod } from "./methods.ts";
import { formatTarget, normalisePath, readingsOf } from "./path.ts";
import type { Deny, Verdict } from "./verdict.ts";

/** A request as a person writes it. */
export interface AskedRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: HeaderList;
}

/** What one rule says of a request. */
export interface ConsideredRule {
  readonly rule: string;
  readonly host: string;
  readonly fits: boolean;
  readonly why: string;
}

/** The decision and how it came about. */
export interface RequestExplanation {
  readonly verdict: Verdict;
  /** The request in the form that is judged and forwarded; undefined where it has none. */
  readonly asked: string | undefined;
  /** Rules for the host, in the order of the policy. */
  readonly considered: readonly ConsideredRule[];
  /** What is put into the request. */
  readonly credential: string | undefined;
}

/** Rule that stands for the protocol itself. */
const PROTOCOL = "egress.protocol";

/** Explains one request. */
export function explainRequest(policy: EgressPolicy, asked: AskedRequest): RequestExplanation {
  const request = readRequest(asked);
  if ("reason" in request) return bare(request);
  const { authority } = request;
  if (isIntrospection(authority)) return explainIntrospection(request);
  const considered = policy.routes
    .filter(({ host }) => matchesHost(host, authority.host))
    .map((route) => consider(route, request, routesFor(policy, request.scheme, authority)));
  const { verdict, route } = decide(policy, request);
  const base = { asked: describeRequest(request), considered };
  if (verdict.kind === "deny" || route === undefined) {
    return { ...base, verdict, credential: undefined };
  }
  const placeholders = policy.routes.flatMap(({ auth, host, port }) =>
    auth === undefined ? [] : [{ value: auth.placeholder, host, port }],
  );
  const plan = planCredentials(route, request.headers, request.query, placeholders);
  if (!plan.ok) return { ...base, verdict: plan.verdict, credential: undefined };
  const { auth } = route;
  const credential = auth && `${auth.variable ?? auth.slot} in ${explainCarrier(auth.carrier)}`;
  return { ...base, verdict, credential };
}

const bare = (verdict: Deny): RequestExplanation => ({
  verdict,
  asked: undefined,
  considered: [],
  credential: undefined,
});

/** Https asks twice: for the tunnel, and for the request in it. */
function decide(policy: EgressPolicy, request: PolicyRequest): Decision {
  const { authority, scheme } = request;
  const tunnel = scheme === "https" ? decideConnect(policy, authority) : undefined;
  return tunnel?.verdict.kind === "deny" ? tunnel : decideRequest(policy, request);
}

function explainIntrospection(request: PolicyRequest): RequestExplanation {
  const isIt = request.path === ALLOWLIST_PATH && ["GET", "HEAD"].includes(request.method);
  const why = `egress itself answers GET ${ALLOWLIST_PATH} and nothing else; ask for that`;
  const verdict: Verdict = isIt
    ? { kind: "allow", rule: INTROSPECTION_RULE }
    : deny("no-match", INTROSPECTION_RULE, why);
  return {
    ...bare(deny("no-match", INTROSPECTION_RULE, why)),
    verdict,
    asked: describeRequest(request),
  };
}

const URL_FORM = /^(https?|wss?):\/\/([^/?#]*)([/?][^#]*)?(?:#.*)?$/i;

function readRequest({ method, url, headers }: AskedRequest): PolicyRequest | Deny {
  if (!isMethod(method)) {
    return deny("bad-request", PROTOCOL, "the method is not one of HTTP; use one that is");
  }
  const match = URL_FORM.exec(url);
  if (match === null) {
    return deny("bad-request", PROTOCOL, "this is no http or https URL; write https://host/path");
  }
  // A WebSocket's handshake is a request like any other.
  const scheme: Scheme = /^(?:http|ws)$/i.test(match[1] ?? "") ? "http" : "https";
  const parsed = parseAuthority(match[2] ?? "", scheme);
  if (!parsed.ok) {
    return deny("bad-authority", PROTOCOL, `${parsed.reason}; name one host and at most one port`);
  }
  const rest = match[3] ?? "/";
  const path = normalisePath(rest.startsWith("?") ? `/${rest}` : rest);
  if (!path.ok) {
    return deny("bad-request", PROTOCOL, `${path.reason}; send the target in its normalised form`);
  }
  const { authority } = parsed;
  return { scheme, authority, method, path: path.path, query: path.query, headers };
}

function describeRequest({ method, scheme, authority, path, query }: PolicyRequest): string {
  return `${method} ${scheme}://${formatHostHeader(authority, scheme)}${formatTarget(path, query)}`;
}

function consider(
  route: Route,
  request: PolicyRequest,
  covering: readonly Route[],
): ConsideredRule {
  const { rule, host } = route;
  if (!covering.includes(route)) {
    const why = refuseEndpoint(route, request) ?? `a route names ${request.authority.host} itself`;
    return { rule, host, fits: false, why };
  }
  const misses = route.matches.map((match) => explainMiss(match, request));
  const fits = misses.length === 0 || misses.includes(undefined);
  if (!fits) {
    const parts = misses.map((why, index) => `matches[${index}]: ${why ?? ""}`);
    return { rule, host, fits, why: parts.join("; ") };
  }
  const entry = misses.indexOf(undefined);
  return { rule, host, fits, why: entry < 0 ? "every request to it" : `matches[${entry}] holds` };
}

function refuseEndpoint(
  { host, port }: Route,
  { scheme, authority }: PolicyRequest,
): string | undefined {
  const wanted = port ?? (scheme === "https" ? 443 : 80);
  if (wanted === authority.port) return undefined;
  return `it is for port ${wanted} of ${host}, not for ${formatPort(authority)}`;
}

const formatPort = (authority: Authority): string => formatAuthority(authority);

/** The first part of an entry that does not hold; undefined when all do. */
function explainMiss(match: RequestMatch, request: PolicyRequest): string | undefined {
  const { paths, methods, headers } = match;
  const readings = readingsOf(request.path);
  const fitsPath = readings.every((path, index) =>
    paths.some((it) => (index === 0 ? matchesPath(it, path) : matchesSlashedPath(it, path))),
  );
  if (paths.length > 0 && !fitsPath) {
    const also = readings.length > 1 ? `, which may be read as ${readings[1]},` : "";
    return `the path ${request.path}${also} is not ${paths.map(explainPath).join(" or ")}`;
  }
  if (methods.length > 0 && !methods.includes(request.method)) {
    return `the method ${request.method} is not ${methods.join(" or ")}`;
  }
  const missed = headers.find((it) => {
    const values = headerValues(request.headers, it.name);
    return values.length === 0 || !values.every((value) => matchesHeaderValue(it, value));
  });
  return missed && `the header ${missed.name} is not ${missed.value}`;
}
