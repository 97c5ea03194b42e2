/** What egress enforces, as plain data: the same value is planned, shown, enforced and explained. Holds no secret value. */

/** How a credential is put into a request. */
export type CredentialCarrier =
  | { readonly kind: "bearer" }
  | { readonly kind: "token" }
  | { readonly kind: "basic"; readonly username: string }
  | { readonly kind: "header"; readonly name: string }
  | { readonly kind: "query"; readonly name: string }
  /** A field of a JSON body, by JSON pointer. */
  | { readonly kind: "json"; readonly pointer: string };

export interface RouteAuth {
  readonly carrier: CredentialCarrier;
  /** Slot of the real value among the daemon's secrets, `EGRESS_TOKEN_n`. */
  readonly slot: string;
  /** What the guest holds instead; known, inert, never a finding. */
  readonly placeholder: string;
  /** Refuse requests that come without the placeholder. */
  readonly requirePlaceholder: boolean;
  /** The name that the manifest gives the credential, and the guest's variable that holds the placeholder. */
  readonly variable?: string | undefined;
}

/** Exact and prefix values are normalised; a glob or regex is anchored at both ends. */
export interface PathMatch {
  readonly kind: "exact" | "prefix" | "glob" | "regex";
  readonly value: string;
}

/** The name is lower case; a regex is anchored at both ends. */
export interface HeaderMatch {
  readonly name: string;
  readonly value: string;
  /** Exact where it is not said. */
  readonly kind?: "exact" | "regex" | undefined;
}

/** What a route may be used for in the life of a bottle. */
export interface RouteLimits {
  readonly requests: number | undefined;
  /** Bytes that leave: targets, headers and bodies of requests. */
  readonly bytes: number | undefined;
}

/** All given parts must hold (AND); of paths and methods one is enough (OR), of headers each must be there. */
export interface RequestMatch {
  readonly paths: readonly PathMatch[];
  /** Upper-case methods; empty means any. */
  readonly methods: readonly string[];
  readonly headers: readonly HeaderMatch[];
}

export interface Route {
  /** Name of the rule in verdicts: `egress.routes[2]`, `provider.claude`, `--allow`. */
  readonly rule: string;
  /** Canonical host name, or `*.` and the name below which exactly one label may stand. */
  readonly host: string;
  /** Undefined: https on 443 and http on 80. Otherwise both schemes on that port. */
  readonly port: number | undefined;
  /** Empty: every request to the host. Otherwise one entry must hold. */
  readonly matches: readonly RequestMatch[];
  readonly auth: RouteAuth | undefined;
  readonly outboundOnMatch: "block" | "redact" | "supervise";
  /** Known-secret scan of what leaves. */
  readonly scansOutbound: boolean;
  readonly allowsGitFetch: boolean;
  /** Undefined: without end. */
  readonly limits?: RouteLimits | undefined;
}

/** Where a name leads instead of DNS. Grants nothing without a route. */
export interface Resolution {
  readonly address: string;
  /** Undefined keeps the request's own port. */
  readonly port: number | undefined;
}

export interface EgressPolicy {
  readonly routes: readonly Route[];
  readonly resolve: Readonly<Record<string, Resolution>>;
}

/** Everything the egress daemon is configured with, except secret values. */
export interface EgressConfig {
  readonly policy: EgressPolicy;
  /** Traffic log: 0 off, 1 blocks, 2 everything. */
  readonly logLevel: 0 | 1 | 2;
  /** PEM roots trusted in addition to the system's. */
  readonly upstreamCa: readonly string[];
  readonly upstreamProxy: string | undefined;
  /** Slots whose values are searched for in everything that leaves, beside those of the routes. */
  readonly scanSlots: readonly string[];
  /** Slots whose values the owner can read anew: an upstream's 401 is reported for these. */
  readonly renewableSlots?: readonly string[] | undefined;
  /** All placeholders of this bottle, by the host their route names. */
  readonly placeholders: readonly {
    readonly value: string;
    readonly host: string;
    readonly port: number | undefined;
  }[];
  /** PEM certificate of the bottle's authority; its key comes as the secret slot `EGRESS_CA_KEY`. */
  readonly caCertificate: string;
}

/** Slot of the authority's private key (PEM, PKCS #8). */
export const CA_KEY_SLOT = "EGRESS_CA_KEY";
