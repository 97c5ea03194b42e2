/**
 * Fourth step: sends what was judged to the one place it may go, and its answer back. Invariant: nothing leaves before the
 * decision is in the audit log, and the credential is put in here, after everything was searched.
 */
import { messageOf, systemCode } from "../../base/errors.ts";
import { formatAuthority, formatHostHeader } from "../../policy/authority.ts";
import { deny } from "../../policy/decide.ts";
import type { Deny } from "../../policy/verdict.ts";
import type { Arrival, Scanned, Services } from "./context.ts";
import { DialError } from "./dial.ts";
import { exchange } from "./exchange.ts";
import { locate, type Place } from "./locate.ts";
import type { Recorder } from "./record.ts";
import { poolKeyOf } from "./upstream-pool.ts";

/** Tries in all: an idle connection that the upstream closed meanwhile shows only when it is used. */
const MAX_ATTEMPTS = 2;

export interface ForwardInput {
  readonly arrival: Arrival;
  readonly services: Services;
  readonly recorder: Recorder;
}

/** How a forwarded request ended. */
export type Forwarded =
  | { readonly kind: "answered" }
  /** The decision itself: nothing left. */
  | { readonly kind: "denied"; readonly verdict: Deny }
  /** Something went wrong after the decision to let the request out. */
  | { readonly kind: "failed"; readonly verdict: Deny };

/** Forwards one request. */
export async function forward(asked: Scanned, input: ForwardInput): Promise<Forwarded> {
  const { state } = input.arrival;
  const poolKey = poolKeyOf(asked.scheme, asked.authority);
  const place = state.pool.hasIdle(poolKey) ? undefined : await findPlace(asked, input);
  if (place?.kind === "deny") return { kind: "denied", verdict: place };
  const denied = recordAllow(asked, input);
  if (denied !== undefined) return { kind: "denied", verdict: denied };
  return attempt(asked, input, { place, poolKey, number: 1 });
}

interface Attempt {
  readonly place: Place | undefined;
  readonly poolKey: string;
  readonly number: number;
}

async function attempt(asked: Scanned, input: ForwardInput, now: Attempt): Promise<Forwarded> {
  const { arrival } = input;
  const result = await exchange(asked, { ...input, place: now.place, poolKey: now.poolKey });
  if (result.kind === "answered") return result;
  if (result.kind === "found") return { kind: "failed", verdict: result.verdict };
  const mayRetry = result.isStale && asked.body.kind !== "stream" && !arrival.response.headersSent;
  if (!mayRetry || now.number >= MAX_ATTEMPTS) {
    return { kind: "failed", verdict: describeFailure(asked, result.error) };
  }
  arrival.state.pool.closeIdle();
  const place = await findPlace(asked, input);
  if (place.kind === "deny") return { kind: "failed", verdict: place };
  return attempt(asked, input, { ...now, place, number: now.number + 1 });
}

function findPlace(asked: Scanned, { arrival, services }: ForwardInput): Promise<Place | Deny> {
  return locate(asked.authority, {
    policy: arrival.state.config.policy,
    lookup: services.lookup,
    hasProxy: arrival.state.proxy !== undefined,
    ownListeners: services.ownListeners,
  });
}

function recordAllow(asked: Scanned, { recorder }: ForwardInput): Deny | undefined {
  const { authority, scheme, method, path, route } = asked;
  const host = formatHostHeader(authority, scheme);
  return recorder.decide(
    { kind: "request", host, method, path, isClean: route.scansOutbound },
    { kind: asked.isRedacted ? "redact" : "allow", rule: route.rule },
  );
}

function describeFailure(asked: Scanned, error: Error): Deny {
  const host = formatAuthority(asked.authority);
  const { rule } = asked.route;
  if (!(error instanceof DialError)) {
    const seen = systemCode(error) ?? messageOf(error);
    return deny(
      "upstream-failed",
      rule,
      `${host} did not answer properly: ${seen}; try again later`,
    );
  }
  if (error.reason !== "upstream-untrusted") {
    return deny(error.reason, rule, `${host} was not reached: ${error.message}; try again later`);
  }
  const how = "if its root is the operator's own, add it to egress.upstream_ca";
  return deny(error.reason, rule, `${host} could not prove who it is: ${error.message}; ${how}`);
}
