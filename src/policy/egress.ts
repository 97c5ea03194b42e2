/** What egress enforces, as plain data: the same value is planned, shown, enforced and explained. Holds no secret value. */

/** How a credential is put into a request. */
export type CredentialCarrier =
  | { readonly kind: "bearer" }
  | { readonly kind: "token" }
  | { readonly kind: "basic"; readonly username: string }
  | { readonly kind: "header"; readonly name: string }
  | { readonly kind: "query"; readonly name: string };

export interface RouteAuth {
  readonly carrier: CredentialCarrier;
  /** Slot of the real value among the daemon's secrets, `EGRESS_TOKEN_n`. */
  readonly slot: string;
  /** What the guest holds instead; known, inert, never a finding. */
  readonly placeholder: string;
  /** Refuse requests that come without the placeholder. */
  readonly requirePlaceholder: boolean;
}

export type PathMatch =
  | { readonly kind: "exact"; readonly value: string }
  | { readonly kind: "prefix"; readonly value: string };

/** All given parts must hold (AND); of paths and methods one is enough (OR), of headers each must be there. */
export interface RequestMatch {
  readonly paths: readonly PathMatch[];
  /** Upper-case methods; empty means any. */
  readonly methods: readonly string[];
  readonly headers: readonly { readonly name: string; readonly value: string }[];
}

export interface Route {
  /** Name of the rule in verdicts: `egress.routes[2]`, `provider.claude`, `--allow`. */
  readonly rule: string;
  /** Canonical host name. */
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
