/**
 * Turns the manifest's routes, the provider's own route and `--allow` into the policy that egress enforces, and names the
 * secrets it needs. Pure.
 */
import { UsageError } from "../base/errors.ts";
import type { AuthSpec, BottleSpec, MatchSpec, RouteSpec } from "../manifest/types.ts";
import type {
  CredentialCarrier,
  EgressPolicy,
  RequestMatch,
  Route,
  RouteAuth,
} from "../policy/egress.ts";
import type { ProviderRoute } from "../providers/provider.ts";
import { parseAllow } from "./parse-allow.ts";
import type { CredentialRef, SecretPlan } from "./plan.ts";

/** What the routes need and give. */
export interface ResolvedRoutes {
  readonly policy: EgressPolicy;
  readonly secrets: readonly SecretPlan[];
  /** Guest variable → placeholder, for each route with a credential. */
  readonly placeholderEnv: Readonly<Record<string, string>>;
}

export interface RouteInput {
  readonly bottle: BottleSpec;
  readonly providerName: string;
  readonly providerRoutes: readonly ProviderRoute[];
  /** Where the provider's own credential is read; undefined where it has none. */
  readonly providerCredential: CredentialRef | undefined;
  /** `host[:port]` granted for this launch. */
  readonly allow: readonly string[];
  readonly slots: TokenSlots;
}

/** Gives each distinct token source one slot and one placeholder, in order of first use. */
export class TokenSlots {
  readonly #nonce: string;
  readonly #slots = new Map<
    string,
    { readonly slot: string; readonly placeholder: string; readonly ref: CredentialRef }
  >();

  constructor(nonce: string) {
    this.#nonce = nonce;
  }

  /** The slot of a source; the same source always gives the same slot. */
  slotOf(ref: CredentialRef): { readonly slot: string; readonly placeholder: string } {
    const key = JSON.stringify(ref);
    const known = this.#slots.get(key);
    if (known !== undefined) return known;
    const number = this.#slots.size;
    const made = {
      slot: `EGRESS_TOKEN_${number}`,
      placeholder: `bot-bottle-placeholder-${this.#nonce}-${number}`,
      ref,
    };
    this.#slots.set(key, made);
    return made;
  }

  get secrets(): readonly SecretPlan[] {
    return [...this.#slots.values()].map(({ slot, ref }) => ({
      slot,
      source: ref,
      guestVariable: undefined,
    }));
  }
}

export function resolveRoutes(input: RouteInput): ResolvedRoutes {
  const { bottle, slots } = input;
  const placeholderEnv: Record<string, string> = {};
  const provided = input.providerRoutes.map((route) => providerRoute(route, input));
  const manifest = bottle.egress.routes.map((spec, index) =>
    manifestRoute(spec, index, { slots, placeholderEnv }),
  );
  const owned = new Map(provided.map((route) => [routeKey(route), route]));
  const others = manifest.filter((route) => !owned.has(routeKey(route)));
  const narrowed = provided.map((route) => {
    const index = manifest.findIndex((other) => routeKey(other) === routeKey(route));
    return narrow(route, manifest[index], bottle.egress.routes[index]);
  });
  const routes = [...narrowed, ...others];
  for (const text of input.allow) addAllowed(routes, text);
  return {
    policy: { routes, resolve: bottle.egress.resolve },
    secrets: slots.secrets,
    placeholderEnv,
  };
}

function routeKey(route: { readonly host: string; readonly port: number | undefined }): string {
  return `${route.host}:${route.port ?? ""}`;
}

function providerRoute(route: ProviderRoute, input: RouteInput): Route {
  const { providerCredential: ref } = input;
  const hasAuth = route.carrier !== undefined && ref !== undefined;
  return {
    rule: `provider.${input.providerName}`,
    host: route.host,
    port: undefined,
    matches: [],
    auth: hasAuth
      ? {
          carrier: route.carrier,
          ...slotAndPlaceholder(input.slots, ref),
          requirePlaceholder: false,
        }
      : undefined,
    outboundOnMatch: "redact",
    scansOutbound: true,
    allowsGitFetch: false,
  };
}

function slotAndPlaceholder(
  slots: TokenSlots,
  ref: CredentialRef,
): Pick<RouteAuth, "slot" | "placeholder"> {
  const { slot, placeholder } = slots.slotOf(ref);
  return { slot, placeholder };
}

/** A manifest route for a provider's host narrows it; the credential stays the provider's, and what is not said of dlp too. */
function narrow(route: Route, by: Route | undefined, spec: RouteSpec | undefined): Route {
  if (by === undefined) return route;
  return {
    ...route,
    rule: `${route.rule}+${by.rule}`,
    matches: by.matches,
    outboundOnMatch: spec?.dlp.outboundOnMatch ?? route.outboundOnMatch,
    scansOutbound: by.scansOutbound,
    allowsGitFetch: by.allowsGitFetch,
    limits: by.limits,
    auth: route.auth ?? by.auth,
  };
}

interface RouteContext {
  readonly slots: TokenSlots;
  readonly placeholderEnv: Record<string, string>;
}

function manifestRoute(spec: RouteSpec, index: number, context: RouteContext): Route {
  const auth = spec.auth === undefined ? undefined : routeAuth(spec.auth, context);
  return {
    rule: `egress.routes[${index}]`,
    host: spec.host,
    port: spec.port,
    matches: spec.matches.map(requestMatch),
    auth,
    outboundOnMatch: spec.dlp.outboundOnMatch ?? "supervise",
    scansOutbound: spec.dlp.outboundDetectors !== false,
    allowsGitFetch: spec.gitFetch,
    limits: spec.limits,
  };
}

function routeAuth(auth: AuthSpec, context: RouteContext): RouteAuth {
  const { slot, placeholder } = context.slots.slotOf(auth.tokenRef);
  context.placeholderEnv[auth.tokenRef.name] = placeholder;
  return {
    carrier: carrierOf(auth),
    slot,
    placeholder,
    requirePlaceholder: auth.requirePlaceholder,
    variable: auth.tokenRef.name,
  };
}

function carrierOf(auth: AuthSpec): CredentialCarrier {
  switch (auth.scheme) {
    case "Bearer":
      return { kind: "bearer" };
    case "token":
      return { kind: "token" };
    case "basic":
      return { kind: "basic", username: auth.username };
    case "header":
      return { kind: "header", name: auth.name.toLowerCase() };
    case "query":
      return { kind: "query", name: auth.name };
    case "json":
      return { kind: "json", pointer: auth.pointer };
  }
}

function requestMatch(match: MatchSpec): RequestMatch {
  return {
    paths: match.paths.map(({ type, value }) => ({ kind: type, value })),
    methods: match.methods.map((method) => method.toUpperCase()),
    headers: match.headers.map(({ name, value, type }) => ({
      name: name.toLowerCase(),
      value,
      kind: type,
    })),
  };
}

function addAllowed(routes: Route[], text: string): void {
  const { host, port } = parseAllow(text);
  const known = routes.find((route) => route.host === host && route.port === port);
  if (known?.matches.length === 0) return;
  if (known !== undefined) {
    throw new UsageError(
      "usage.invalid",
      `--allow "${text}" would widen ${known.rule}, which allows some requests to that host only`,
      { hint: "leave --allow out, or change matches of that route in the bottle file" },
    );
  }
  routes.push({
    rule: "--allow",
    host,
    port,
    matches: [],
    auth: undefined,
    outboundOnMatch: "supervise",
    scansOutbound: true,
    allowsGitFetch: false,
  });
}
