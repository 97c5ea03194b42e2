/** One request to an upstream and its answer: body out under the scanner's eye, answer back with echoes masked. */
import type { ClientRequest, IncomingMessage } from "node:http";
import { invariant } from "../../base/assert.ts";
import { systemCode } from "../../base/errors.ts";
import { formatHostHeader } from "../../policy/authority.ts";
import { renderCredential, setQueryCredential } from "../../policy/credentials.ts";
import { type HeaderList, pairHeaders } from "../../policy/headers.ts";
import { formatTarget } from "../../policy/path.ts";
import type { Deny } from "../../policy/verdict.ts";
import type { OutgoingBody, Scanned } from "./context.ts";
import type { ForwardInput } from "./forward.ts";
import { flattenHeaders, stripHopByHop, withoutHeaders } from "./headers.ts";
import { injectBody } from "./inject-body.ts";
import type { Place } from "./locate.ts";
import { http } from "./node-http.ts";
import { relayResponse } from "./relay-response.ts";
import { sendBody } from "./send-body.ts";
import type { EgressState } from "./state.ts";
import type { UpstreamArgs } from "./upstream-pool.ts";

/** Longest silence of an upstream: models think for minutes before the first byte. */
export const UPSTREAM_IDLE_MS: number = 15 * 60 * 1000;
/** Largest header block taken from an upstream. */
const MAX_RESPONSE_HEADER_BYTES = 65_536;

export interface ExchangeInput extends ForwardInput {
  readonly place: Place | undefined;
  readonly poolKey: string;
}

export type Exchanged =
  | { readonly kind: "answered" }
  /** The body held a secret; the upstream got no end of it. */
  | { readonly kind: "found"; readonly verdict: Deny }
  /** `isStale`: a reused connection broke before any answer, so nothing says that the request was seen. */
  | { readonly kind: "failed"; readonly error: Error; readonly isStale: boolean };

/** Carries out one exchange. Resolves when the answer is sent or nothing more can be done; throws when Node refuses a header. */
export function exchange(judged: Scanned, input: ExchangeInput): Promise<Exchanged> {
  const { request, response, state } = input.arrival;
  const asked = injectBody(judged, state.secrets);
  return new Promise((resolve) => {
    const upstream = http.request(requestArgs(asked, input));
    const settle = (result: Exchanged): void => {
      response.off("close", onGuestGone);
      resolve(result);
    };
    const onGuestGone = (): void => {
      if (!response.writableFinished) upstream.destroy();
      settle({ kind: "answered" });
    };
    const onClose = (): void => settle(failed(new Error("the connection was closed"), false));
    response.once("close", onGuestGone);
    upstream.on("timeout", () => upstream.destroy(new Error("no byte came for too long")));
    upstream.on("error", (error) => settle(failed(error, isStale(upstream, error))));
    upstream.once("close", onClose);
    upstream.once("response", (answer) => {
      upstream.off("close", onClose);
      void relay(answer, asked, input).then(settle);
    });
    void sendBody(asked, request, upstream).then((verdict) => {
      if (verdict === undefined) return;
      settle({ kind: "found", verdict });
      upstream.destroy();
    });
  });
}

function failed(error: Error, isStaleConnection: boolean): Exchanged {
  return { kind: "failed", error, isStale: isStaleConnection };
}

/** A broken reused connection that gave no answer at all. */
function isStale(upstream: ClientRequest, error: Error): boolean {
  const isGone = ["ECONNRESET", "EPIPE"].includes(systemCode(error) ?? "");
  return upstream.reusedSocket && isGone;
}

async function relay(
  answer: IncomingMessage,
  asked: Scanned,
  input: ExchangeInput,
): Promise<Exchanged> {
  const { recorder, arrival } = input;
  const { method, path, authority } = asked;
  const headers = stripHopByHop(pairHeaders(answer.rawHeaders));
  const status = answer.statusCode;
  const log = (body: Buffer): void =>
    recorder.traffic("egress_response", {
      host: authority.host,
      method,
      path,
      status,
      headers,
      body,
    });
  const error = await relayResponse(answer, arrival.response, {
    headers,
    secrets: asked.route.auth === undefined ? undefined : arrival.state.echoes,
    isHead: method === "HEAD",
    onSample: recorder.logsTraffic ? log : undefined,
  });
  return error === undefined ? { kind: "answered" } : failed(error, false);
}

function requestArgs(asked: Scanned, input: ExchangeInput): UpstreamArgs {
  const { authority, scheme, method, path } = asked;
  const { state } = input.arrival;
  const { query, headers } = injectCredential(asked, state);
  const { place, poolKey } = input;
  const { proxy, trust } = state;
  const body = asked.body.kind === "whole" ? asked.body.bytes : undefined;
  input.recorder.traffic("egress_request", { host: authority.host, method, path, headers, body });
  return {
    agent: state.pool,
    poolKey,
    dialOptions: place === undefined ? undefined : { authority, scheme, place, proxy, trust },
    method,
    path: formatTarget(path, query),
    headers: flattenHeaders([["Host", formatHostHeader(authority, scheme)], ...headers]),
    timeout: UPSTREAM_IDLE_MS,
    maxHeaderSize: MAX_RESPONSE_HEADER_BYTES,
    insecureHTTPParser: false,
  };
}

/** The one place where a real value enters a request. */
function injectCredential(
  asked: Scanned,
  state: EgressState,
): { query: string; headers: HeaderList } {
  const { inject, cleanQuery } = asked;
  const headers = outgoingHeaders(asked);
  if (inject === undefined || inject.kind === "json") return { query: cleanQuery, headers };
  const value = state.secrets.get(inject.slot)?.reveal().trim();
  invariant(value !== undefined, "a planned slot has a value");
  if (inject.kind === "query") {
    return { query: setQueryCredential(cleanQuery, inject.name, value), headers };
  }
  const credential = renderCredential(inject.carrier, value);
  invariant(credential !== undefined, "a credential was checked when the policy was taken");
  return { query: cleanQuery, headers: [...headers, [inject.name, credential]] };
}

/** An echo can only be masked in what can be read, and not when it comes in two parts of the guest's choice. */
const UNMASKABLE = ["accept-encoding", "range", "if-range"];

function outgoingHeaders(asked: Scanned): HeaderList {
  const isMasked = asked.route.auth !== undefined;
  const dropped = ["host", "content-length", "expect", ...asked.dropHeaders];
  const kept = withoutHeaders(
    stripHopByHop(asked.headers),
    isMasked ? [...dropped, ...UNMASKABLE] : dropped,
  );
  const encoding: HeaderList = isMasked ? [["Accept-Encoding", "identity"]] : [];
  return [
    ...kept,
    ...encoding,
    ...framingOf(asked.body, asked.method),
    ["Connection", "keep-alive"],
  ];
}

function framingOf(body: OutgoingBody, method: string): HeaderList {
  switch (body.kind) {
    case "none":
      return ["POST", "PUT", "PATCH"].includes(method) ? [["Content-Length", "0"]] : [];
    case "whole":
      return [["Content-Length", String(body.bytes.length)]];
    case "stream":
      return body.length === undefined
        ? [["Transfer-Encoding", "chunked"]]
        : [["Content-Length", String(body.length)]];
  }
}
