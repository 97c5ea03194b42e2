/** Outcomes of policy. A verdict is a value; the engine never throws for a request that it refuses. */

/** Stable reason codes. They appear in refusals, the audit log and documentation; never rename one. */
export type ReasonCode =
  | "allowed"
  | "host-not-allowed"
  | "address-forbidden"
  | "bad-authority"
  | "authority-mismatch"
  | "bad-request"
  | "no-match"
  | "git-push-refused"
  | "git-fetch-refused"
  | "upgrade-refused"
  | "foreign-credential"
  | "placeholder-elsewhere"
  | "placeholder-missing"
  | "plain-http-credential"
  | "no-json-body"
  | "budget-spent"
  | "secret-found"
  | "undecodable-body"
  | "body-too-large"
  | "resolve-failed"
  | "upstream-failed"
  | "upstream-untrusted"
  | "audit-failed"
  | "not-ready"
  | "policy-changed";

export interface Allow {
  readonly kind: "allow";
  /** The rule that made it, such as `egress.routes[0]`. */
  readonly rule: string;
}

export interface Deny {
  readonly kind: "deny";
  readonly reason: ReasonCode;
  readonly rule: string;
  /** For people: what was asked and how to ask for it. Never a secret. */
  readonly explanation: string;
}

/** The operator decides; without supervise it acts as a deny. */
export interface AskOperator {
  readonly kind: "ask";
  readonly reason: ReasonCode;
  readonly rule: string;
  readonly explanation: string;
}

export type Verdict = Allow | Deny | AskOperator;
