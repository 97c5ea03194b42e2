/** Takes one request through the steps. Whatever ends it early is recorded and said to the guest; nothing is thrown on. */
import { messageOf } from "../../base/errors.ts";
import { formatHostHeader } from "../../policy/authority.ts";
import { deny } from "../../policy/decide.ts";
import { maskText } from "../../policy/dlp/mask.ts";
import { INTROSPECTION_RULE, isIntrospection } from "../../policy/introspect.ts";
import type { Deny } from "../../policy/verdict.ts";
import { authorize } from "./authorize.ts";
import { classify, PROTOCOL_RULE } from "./classify.ts";
import type { Arrival, Classified, Scanned, Services, StepResult } from "./context.ts";
import { type ForwardInput, forward } from "./forward.ts";
import { answerIntrospection } from "./introspect.ts";
import { EMPTY_BODY } from "./message.ts";
import type { Subject } from "./record.ts";
import { answerLocally, refuseExchange } from "./refusal.ts";
import { scanRequest } from "./scan.ts";
import { asksWebSocket } from "./websocket/handshake.ts";

/** Judges and forwards one request: classify, authorize, scan, forward, record. */
export function handleRequest(arrival: Arrival, services: Services): void {
  const recorder = arrival.state.recorder(services);
  const run: Run = { arrival, services, recorder };
  guarded(run, undefined, () => {
    const { incoming, tunnel } = arrival;
    const classified = classify(incoming, tunnel);
    if (classified.kind === "deny") return refuse(run, classified, undefined);
    if (isIntrospection(classified.authority)) return introspect(run, classified);
    return judge(run, classified, undefined);
  });
}

type Run = Pick<ForwardInput, "arrival" | "services" | "recorder">;

/** `before` is what a policy let out that is not in force any more. */
function judge(run: Run, classified: Classified, before: Scanned | undefined): void {
  const { arrival, services } = run;
  const { state } = arrival;
  const authorized = authorize(classified, state.config);
  if (authorized.kind === "deny") return refuse(run, authorized, classified);
  const { buffers, ask } = services;
  const input = { arrival, policy: state.scanPolicy, buffers, ask, before };
  const scanned = scanRequest(authorized, input);
  if (!(scanned instanceof Promise)) return send(run, scanned, classified);
  scanned.then(
    (result) => guarded(run, classified, () => send(run, result, classified)),
    (error: unknown) => fault(run, error, classified),
  );
}

/** A request waits for its body, for names and for connections: what was allowed then may not be allowed now. */
function judgeAgain({ arrival, services }: Run, classified: Classified, before: Scanned): void {
  const { state } = services.inForce;
  const run = { arrival: { ...arrival, state }, services, recorder: state.recorder(services) };
  guarded(run, classified, () => judge(run, classified, before));
}

function send(run: Run, scanned: StepResult<Scanned>, classified: Classified): void {
  if (scanned.kind === "deny") return refuse(run, scanned, classified);
  if (run.arrival.outgoing.isOver) return undefined;
  const { inForce, budgets } = run.services;
  if (run.arrival.state !== inForce.state) return judgeAgain(run, classified, scanned);
  const { route, authority } = scanned;
  const bytes = route.limits === undefined ? 0 : sizeOf(scanned);
  const spent = budgets.take(route, authority.host, bytes);
  if (spent !== undefined) return refuse(run, spent, classified);
  return forward(scanned, {
    ...run,
    onRefused: (verdict, kind) => refuse(run, verdict, classified, kind),
    onFault: (error) => fault(run, error, classified),
    onOutdated: () => {
      budgets.giveBack(route, bytes);
      judgeAgain(run, classified, scanned);
    },
    authorizeBy: (state) => authorize(classified, state.config),
  });
}

/** Bytes that are known to leave; a body without length is counted on its way. */
function sizeOf({ path, query, headers, body }: Scanned): number {
  const head = headers.reduce((sum, [name, value]) => sum + name.length + value.length, 0);
  const length = body.kind === "whole" ? body.bytes.length : body.kind === "stream" && body.length;
  return path.length + query.length + head + (length || 0);
}

/** Egress answers itself; that is a decision like any other. */
function introspect(run: Run, asked: Classified): void {
  const { arrival, recorder } = run;
  const answer = answerIntrospection(asked, arrival.state.config.policy);
  if ("reason" in answer) return refuse(run, answer, asked);
  const allow = { kind: "allow", rule: INTROSPECTION_RULE } as const;
  const denied = recorder.decide(subjectOf(arrival, asked, "request"), allow);
  if (denied !== undefined) return refuse(run, denied, asked);
  return answerLocally(arrival.outgoing, arrival.incoming.body, answer);
}

function guarded(run: Run, asked: Classified | undefined, step: () => void): void {
  try {
    step();
  } catch (error) {
    fault(run, error, asked);
  }
}

/** A fault of ours: nothing more leaves, and the guest learns no detail. */
function fault(run: Run, error: unknown, asked: Classified | undefined): void {
  run.services.log.error("request failed", { error: messageOf(error) });
  const why = "the request cannot be forwarded as it is; look at its headers";
  refuse(run, deny("bad-request", PROTOCOL_RULE, why), asked);
}

function refuse(
  { arrival, recorder }: Run,
  verdict: Deny,
  asked: Classified | undefined,
  kind: "request" | "response" = "request",
): void {
  const { incoming, outgoing, state } = arrival;
  const subject = subjectOf(arrival, asked, kind);
  // What could not be appended is refused all the same.
  recorder.decide(subject, verdict);
  const target = asked === undefined ? "" : ` ${subject.host ?? ""}${asked.path}`;
  refuseExchange(outgoing, incoming.body, verdict, {
    asked: maskText(`${incoming.method || "a request"}${target}`, state.scanPolicy),
    asksWebSocket: asksWebSocket(incoming.block),
  });
}

function subjectOf(
  { incoming, tunnel }: Arrival,
  asked: Classified | undefined,
  kind: "request" | "response",
): Subject {
  const authority = asked?.authority ?? tunnel;
  const scheme = tunnel === undefined ? "http" : "https";
  const host = authority === undefined ? undefined : formatHostHeader(authority, scheme);
  const method = incoming.method === "" ? undefined : incoming.method;
  return { kind, host, method, path: asked?.path, isClean: false };
}

/** Refuses what could not be read as a request. */
export function refuseMalformed(
  { outgoing, state, tunnel }: Pick<Arrival, "outgoing" | "state" | "tunnel">,
  why: string,
  services: Services,
): void {
  const explanation = `the request is not HTTP as it should be: ${why}; send it anew`;
  const verdict = deny("bad-request", PROTOCOL_RULE, explanation);
  const host = tunnel === undefined ? undefined : formatHostHeader(tunnel, "https");
  const subject = { kind: "request", host, method: undefined, path: undefined } as const;
  state.recorder(services).decide({ ...subject, isClean: true }, verdict);
  const asked = "a request that could not be read";
  refuseExchange(outgoing, EMPTY_BODY, verdict, { asked, asksWebSocket: false });
}
