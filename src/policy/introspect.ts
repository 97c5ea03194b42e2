/** What the guest may know of its own policy: the route table in the manifest's keys, so that it can ask for a change in the same words. */
import type { Authority } from "./authority.ts";
import type { CredentialCarrier, EgressPolicy, RequestMatch, Route } from "./egress.ts";

/** Name under which egress answers itself. It is never looked up, and no route can name it. */
export const INTROSPECTION_HOST = "_egress.local";
/** Rule that stands for it in verdicts. */
export const INTROSPECTION_RULE = "egress.introspection";
/** The one path it has. */
export const ALLOWLIST_PATH = "/allowlist";

/** Tells whether a request is for egress itself, on the usual port of either scheme. */
export function isIntrospection({ host, port }: Pick<Authority, "host" | "port">): boolean {
  return host === INTROSPECTION_HOST && (port === 443 || port === 80);
}

/** The route table as data; no value, slot or placeholder is in it. */
export function describePolicy(policy: EgressPolicy): Readonly<Record<string, unknown>> {
  return { routes: policy.routes.map(describeRoute) };
}

function describeRoute(route: Route): Readonly<Record<string, unknown>> {
  const { host, port, auth, matches, limits } = route;
  return {
    host: port === undefined ? host : `${host}:${port}`,
    ...(auth === undefined
      ? {}
      : {
          auth: {
            ...describeCarrier(auth.carrier),
            ...(auth.variable === undefined ? {} : { token_ref: auth.variable }),
            ...(auth.requirePlaceholder ? { require_placeholder: true } : {}),
          },
        }),
    ...(matches.length === 0 ? {} : { matches: matches.map(describeMatch) }),
    ...(route.allowsGitFetch ? { git: { fetch: true } } : {}),
    dlp: {
      outbound_on_match: route.outboundOnMatch,
      ...(route.scansOutbound ? {} : { outbound_detectors: false }),
    },
    ...(limits === undefined ? {} : { limits: { ...limits } }),
  };
}

function describeCarrier(carrier: CredentialCarrier): Readonly<Record<string, string>> {
  switch (carrier.kind) {
    case "bearer":
      return { scheme: "Bearer" };
    case "token":
      return { scheme: "token" };
    case "basic":
      return { scheme: "basic", username: carrier.username };
    case "json":
      return { scheme: "json", pointer: carrier.pointer };
    case "header":
    case "query":
      return { scheme: carrier.kind, name: carrier.name };
  }
}

function describeMatch({
  paths,
  methods,
  headers,
}: RequestMatch): Readonly<Record<string, unknown>> {
  return {
    ...(paths.length === 0
      ? {}
      : { paths: paths.map(({ kind, value }) => ({ type: kind, value })) }),
    ...(methods.length === 0 ? {} : { methods }),
    ...(headers.length === 0
      ? {}
      : {
          headers: headers.map(({ name, value, kind }) => ({
            name,
            value,
            type: kind ?? "exact",
          })),
        }),
  };
}
