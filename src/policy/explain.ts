/** Says in words what a rule or a verdict means. The same words serve the preflight, refusals and documentation. */
import { assertNever } from "../base/assert.ts";
import type { CredentialCarrier, PathMatch, RequestMatch, Route } from "./egress.ts";
import type { Verdict } from "./verdict.ts";

/** What a route allows, in one sentence. */
export function explainRoute(route: Route): string {
  const parts = [
    explainEndpoint(route),
    route.matches.length === 0 ? "every request" : route.matches.map(explainMatch).join(", or "),
    explainAuth(route),
    route.allowsGitFetch ? "git fetch allowed, push never" : undefined,
    explainScan(route),
    explainLimits(route),
  ];
  return `${route.rule}: ${parts.filter((part) => part !== undefined).join("; ")}`;
}

/** A credential travels over https alone, so that http is no way to a host that gets one, on whatever port. */
function explainEndpoint({ host, port, auth }: Route): string {
  const place = port === undefined ? host : `${host}:${port}`;
  if (auth !== undefined) {
    const on = port === undefined ? " on 443" : "";
    return `${place} over https${on}, never over http because it gets a credential`;
  }
  return port === undefined
    ? `${place} over https on 443 and http on 80`
    : `${place} over https and http`;
}

function explainMatch(match: RequestMatch): string {
  const methods = match.methods.length === 0 ? "any method" : match.methods.join(" or ");
  const paths = match.paths.map(explainPath);
  const where = paths.length === 0 ? "any path" : paths.join(" or ");
  const headers = match.headers.map((it) =>
    it.kind === "regex"
      ? ` with header ${it.name} like ${it.value}`
      : ` with header ${it.name}: ${it.value}`,
  );
  return `${methods} on ${where}${headers.join("")}`;
}

/** A path rule in words. */
export function explainPath({ kind, value }: PathMatch): string {
  if (kind === "prefix") return `${value.replace(/\/$/, "")}/**`;
  return kind === "regex" ? `like ${value}` : value;
}

/** Where a credential travels, without the value. */
export function explainCarrier(carrier: CredentialCarrier): string {
  switch (carrier.kind) {
    case "bearer":
      return "Authorization: Bearer";
    case "token":
      return "Authorization: token";
    case "basic":
      return `Authorization: Basic as user ${carrier.username}`;
    case "header":
      return `header ${carrier.name}`;
    case "query":
      return `query field ${carrier.name}`;
    case "json":
      return `${carrier.pointer} of the JSON body`;
    default:
      return assertNever(carrier, "explainCarrier");
  }
}

function explainAuth(route: Route): string | undefined {
  if (route.auth === undefined) return undefined;
  const only = route.auth.requirePlaceholder ? ", only where the placeholder was sent" : "";
  return `credential put into ${explainCarrier(route.auth.carrier)}${only}`;
}

function explainScan(route: Route): string {
  if (!route.scansOutbound) return "what leaves is not searched for known secrets";
  const actions = {
    block: "refuses the request",
    redact: "masks it",
    supervise: "refuses the request until the operator is asked",
  } as const;
  return `a known secret in what leaves ${actions[route.outboundOnMatch]}`;
}

function explainLimits({ limits }: Route): string | undefined {
  const parts = [
    limits?.requests === undefined ? undefined : `${limits.requests} requests`,
    limits?.bytes === undefined ? undefined : `${limits.bytes} bytes sent`,
  ].filter((part) => part !== undefined);
  return parts.length === 0 ? undefined : `at most ${parts.join(" and ")}`;
}

/** What was decided and why, in one sentence. */
export function explainVerdict(verdict: Verdict): string {
  switch (verdict.kind) {
    case "allow":
      return `allowed by ${verdict.rule}`;
    case "deny":
      return `refused (${verdict.reason}) by ${verdict.rule}: ${verdict.explanation}`;
    case "ask":
      return `held for the operator (${verdict.reason}) by ${verdict.rule}: ${verdict.explanation}`;
    default:
      return assertNever(verdict, "explainVerdict");
  }
}
