/** Takes one request through the steps. Whatever ends it early is recorded and said to the guest; nothing is thrown on. */
import { messageOf } from "../../base/errors.ts";
import { formatHostHeader } from "../../policy/authority.ts";
import { deny } from "../../policy/decide.ts";
import { maskText } from "../../policy/dlp/mask.ts";
import { pairHeaders } from "../../policy/headers.ts";
import type { Deny } from "../../policy/verdict.ts";
import { authorize } from "./authorize.ts";
import { asksWebSocket, classify, PROTOCOL_RULE } from "./classify.ts";
import type { Arrival, Classified, Services } from "./context.ts";
import { type ForwardInput, forward } from "./forward.ts";
import { createRecorder, type Subject } from "./record.ts";
import { refuseRequest } from "./refusal.ts";
import { scanRequest } from "./scan.ts";

/** Judges and forwards one request: classify, authorize, scan, forward, record. */
export async function handleRequest(arrival: Arrival, services: Services): Promise<void> {
  const input: ForwardInput = { arrival, services, recorder: recorderOf(arrival, services) };
  try {
    await runSteps(input);
  } catch (error) {
    // A fault of ours, or a header that Node will not write: nothing more leaves, and the guest learns no detail.
    services.log.error("request failed", { error: messageOf(error) });
    const why = "the request cannot be forwarded as it is; look at its headers";
    refuse(input, deny("bad-request", PROTOCOL_RULE, why), undefined);
  }
}

async function runSteps(input: ForwardInput): Promise<void> {
  const { arrival, services } = input;
  const { request, response, state, expectsContinue } = arrival;
  const classified = classify(request, arrival.tunnel);
  if (classified.kind === "deny") return refuse(input, classified, undefined);
  const authorized = authorize(classified, state.config);
  if (authorized.kind === "deny") return refuse(input, authorized, classified);
  const policy = state.scanPolicy;
  const { buffers } = services;
  const scanInput = { request, response, expectsContinue, policy, buffers };
  const scanned = await scanRequest(authorized, scanInput);
  if (scanned.kind === "deny") return refuse(input, scanned, classified);
  const forwarded = await forward(scanned, input);
  if (forwarded.kind === "answered") return;
  const isAnswerAtFault =
    forwarded.kind === "failed" && forwarded.verdict.reason !== "secret-found";
  refuse(input, forwarded.verdict, classified, isAnswerAtFault ? "response" : "request");
}

function refuse(
  input: ForwardInput,
  verdict: Deny,
  asked: Classified | undefined,
  kind: "request" | "response" = "request",
): void {
  const { request, response } = input.arrival;
  const subject = subjectOf(input.arrival, asked, kind);
  // What could not be appended is refused all the same.
  input.recorder.decide(subject, verdict);
  const target = asked === undefined ? "" : ` ${subject.host ?? ""}${asked.path}`;
  refuseRequest({ request, response }, verdict, {
    asked: maskText(`${request.method ?? "a request"}${target}`, input.arrival.state.scanPolicy),
    asksWebSocket: asksWebSocket(pairHeaders(request.rawHeaders)),
  });
}

function subjectOf(
  arrival: Arrival,
  asked: Classified | undefined,
  kind: "request" | "response",
): Subject {
  const authority = asked?.authority ?? arrival.tunnel;
  const scheme = arrival.tunnel === undefined ? "http" : "https";
  const host = authority === undefined ? undefined : formatHostHeader(authority, scheme);
  return { kind, host, method: arrival.request.method, path: asked?.path, isClean: false };
}

function recorderOf({ state }: Arrival, { audit, log }: Services): ForwardInput["recorder"] {
  const { scanPolicy, config } = state;
  return createRecorder({ audit, log, logLevel: config.logLevel, scanPolicy });
}
