/**
 * Fourth step: sends what was judged to the one place it may go. Invariant: nothing leaves before the decision is in the
 * audit log, and a connection is opened only to addresses that were judged.
 */
import { messageOf, systemCode } from "../../base/errors.ts";
import { formatAuthority, formatHostHeader } from "../../policy/authority.ts";
import { deny } from "../../policy/decide.ts";
import type { Deny } from "../../policy/verdict.ts";
import type { Arrival, Authorized, Scanned, Services, StepResult } from "./context.ts";
import { DialError } from "./dial.ts";
import { Exchange } from "./exchange.ts";
import { locate, type Place } from "./locate.ts";
import type { UpstreamLink } from "./message.ts";
import type { Recorder } from "./record.ts";
import type { EgressState } from "./state.ts";
import { poolKeyOf } from "./upstream-pool.ts";

/** Tries in all: an idle connection that the upstream closed meanwhile shows only when it is used. */
const MAX_ATTEMPTS = 2;

export interface ForwardInput {
  readonly arrival: Arrival;
  readonly services: Services;
  readonly recorder: Recorder;
  /** Ends the request with a refusal; `response` is what went wrong after the request was let out. */
  readonly onRefused: (verdict: Deny, kind: "request" | "response") => void;
  /** Ends the request after a fault of ours. */
  readonly onFault: (error: unknown) => void;
  /** Another policy took the place of that which let the request out, and nothing of it was sent. */
  readonly onOutdated: () => void;
  /** What another policy says about the request's head. */
  readonly authorizeBy: (state: EgressState) => StepResult<Authorized>;
}

interface Attempt {
  readonly asked: Scanned;
  readonly input: ForwardInput;
  readonly poolKey: string;
  /** The guest speaks HTTP/2, so the upstream is asked for it too. */
  readonly wantsHttp2: boolean;
  readonly number: number;
}

/** Forwards one request; at once where a connection is open. */
export function forward(asked: Scanned, input: ForwardInput): void {
  const { state, incoming } = input.arrival;
  const { pool } = state;
  const poolKey = poolKeyOf(asked.scheme, asked.authority);
  const wantsHttp2 = incoming.version === "2";
  const attempt = { asked, input, poolKey, wantsHttp2, number: 1 };
  if (!pool.hasRoom(poolKey, wantsHttp2)) {
    openFirst(attempt).catch(input.onFault);
    return;
  }
  const denied = recordAllow(asked, input);
  if (denied !== undefined) return input.onRefused(denied, "request");
  const link = pool.take(poolKey, wantsHttp2);
  if (link === undefined) reopen(attempt).catch(input.onFault);
  else run(attempt, link);
}

async function openFirst(attempt: Attempt): Promise<void> {
  const { asked, input } = attempt;
  const place = await findPlace(attempt);
  if (isOutdated(input)) return input.onOutdated();
  if (place.kind === "deny") return input.onRefused(place, "request");
  const denied = recordAllow(asked, input);
  if (denied !== undefined) return input.onRefused(denied, "request");
  return openAt(attempt, place);
}

async function reopen(attempt: Attempt): Promise<void> {
  const place = await findPlace(attempt);
  if (isOutdated(attempt.input)) return attempt.input.onOutdated();
  if (place.kind === "deny") return attempt.input.onRefused(place, "response");
  return openAt(attempt, place);
}

async function openAt(attempt: Attempt, place: Place): Promise<void> {
  const { asked, input, poolKey, wantsHttp2 } = attempt;
  const { state, outgoing } = input.arrival;
  const { scheme, authority } = asked;
  const { proxy, trust } = state;
  const offersHttp2 = wantsHttp2 && scheme === "https";
  let link: UpstreamLink;
  try {
    link = await state.pool.open(poolKey, { authority, scheme, place, proxy, trust, offersHttp2 });
  } catch (error) {
    if (isOutdated(input)) return input.onOutdated();
    return input.onRefused(describeFailure(asked, error), "response");
  }
  const isUnwanted = outgoing.isOver || isOutdated(input);
  if (!isUnwanted) return run(attempt, link);
  state.pool.giveBack(poolKey, link);
  return outgoing.isOver ? undefined : input.onOutdated();
}

const isOutdated = ({ services, arrival }: ForwardInput): boolean =>
  services.inForce.state !== arrival.state;

function run(attempt: Attempt, link: UpstreamLink): void {
  const { asked, input, poolKey, number } = attempt;
  const { arrival } = input;
  new Exchange(asked, input, {
    onFound: (verdict) => input.onRefused(verdict, "request"),
    onFailed: (error, isStale) => {
      const mayRetry = isStale && asked.body.kind !== "stream" && !arrival.outgoing.isHeadSent;
      if (!mayRetry || number >= MAX_ATTEMPTS) {
        return input.onRefused(describeFailure(asked, error), "response");
      }
      arrival.state.pool.closeIdle(poolKey);
      return void reopen({ ...attempt, number: number + 1 }).catch(input.onFault);
    },
  }).start(link);
}

function findPlace({ asked, input }: Attempt): Promise<Place | Deny> {
  const { arrival, services } = input;
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

function describeFailure(asked: Scanned, error: unknown): Deny {
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
