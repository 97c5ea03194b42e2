/**
 * First step: reads a request into its one canonical form. What two parsers could read differently is refused here; no
 * later step looks at the raw request again.
 */
import {
  type Authority,
  formatAuthority,
  type ParsedAuthority,
  parseAuthority,
  type Scheme,
  sameAuthority,
} from "../../policy/authority.ts";
import { deny } from "../../policy/decide.ts";
import { type HeaderList, headerValues, pairHeaders } from "../../policy/headers.ts";
import { normalisePath } from "../../policy/path.ts";
import type { Deny, ReasonCode } from "../../policy/verdict.ts";
import type { Arrival, Classified, Framing, StepResult } from "./context.ts";
import { tokensOf } from "./headers.ts";

/** Rule that stands for the protocol itself in verdicts. */
export const PROTOCOL_RULE = "egress.protocol";

/** What of a request is looked at; Node's own request fits. */
export interface RawRequest {
  readonly method?: string | undefined;
  readonly url?: string | undefined;
  readonly httpVersion: string;
  readonly rawHeaders: readonly string[];
}

const refuse = (reason: ReasonCode, explanation: string): Deny =>
  deny(reason, PROTOCOL_RULE, explanation);

/** Classifies one request that came through a tunnel or straight to the proxy. */
export function classify(request: RawRequest, tunnel: Arrival["tunnel"]): StepResult<Classified> {
  const { method = "", url = "" } = request;
  const headers = pairHeaders(request.rawHeaders);
  const scheme: Scheme = tunnel === undefined ? "http" : "https";
  const framing = readFraming(request, headers);
  if ("reason" in framing) return framing;
  const fault = refuseMethod(method) ?? refuseUpgrade(headers);
  if (fault !== undefined) return fault;
  const target = tunnel === undefined ? splitAbsolute(url) : { authority: tunnel, path: url };
  if ("reason" in target) return target;
  const mismatch = refuseHost(headers, target.authority, scheme);
  if (mismatch !== undefined) return mismatch;
  const path = normalisePath(target.path);
  if (!path.ok) {
    return refuse("bad-request", `${path.reason}; send the target in its plain, normalised form`);
  }
  const { authority } = target;
  const asked = { scheme, authority, method, path: path.path, query: path.query };
  return { kind: "classified", ...asked, headers, framing };
}

function refuseMethod(method: string): Deny | undefined {
  if (method !== "TRACE" && method !== "CONNECT" && method !== "") return undefined;
  return refuse("bad-request", `${method || "no method"} is not forwarded; use another method`);
}

/** Upgrades would turn a connection that is judged request by request into an opaque one. */
function refuseUpgrade(headers: HeaderList): Deny | undefined {
  const isAsked = ["upgrade", "http2-settings"].some(
    (name) => headerValues(headers, name).length > 0,
  );
  if (!isAsked) return undefined;
  const what = asksWebSocket(headers) ? "WebSocket is" : "protocol upgrades are";
  return refuse("upgrade-refused", `${what} not carried; use plain requests over HTTP/1.1`);
}

/** Whether a request asks for a WebSocket: such clients fall back to plain requests when they are told so. */
export function asksWebSocket(headers: HeaderList): boolean {
  return tokensOf(headers, "upgrade").includes("websocket");
}

interface Target {
  readonly authority: Authority;
  readonly path: string;
}

/** Takes `http://host/path` apart by hand: a URL parser would repair what must be refused. */
function splitAbsolute(url: string): Target | Deny {
  const match = /^http:\/\/([^/?#]*)([/?].*)?$/is.exec(url);
  if (match === null) {
    const how = "use CONNECT for https, and http://host/path for plain http";
    return refuse("bad-request", `this is a proxy and the request names no host: ${how}`);
  }
  const parsed = parseAuthority(match[1] ?? "", "http");
  if (!parsed.ok) return badAuthority(parsed);
  const rest = match[2] ?? "/";
  return { authority: parsed.authority, path: rest.startsWith("?") ? `/${rest}` : rest };
}

/** The refusal of a name that is no canonical authority. */
export function badAuthority(parsed: Extract<ParsedAuthority, { ok: false }>): Deny {
  return refuse("bad-authority", `${parsed.reason}; name one host and at most one port`);
}

function refuseHost(headers: HeaderList, authority: Authority, scheme: Scheme): Deny | undefined {
  const [host, ...more] = headerValues(headers, "host");
  if (host === undefined || more.length > 0) {
    return refuse("bad-request", "exactly one Host header is needed; send one");
  }
  const parsed = parseAuthority(host, scheme);
  if (!parsed.ok) return badAuthority(parsed);
  if (sameAuthority(parsed.authority, authority)) return undefined;
  const asked = formatAuthority(authority);
  const why = `the Host header names another host than ${asked}, which was connected to`;
  return refuse("authority-mismatch", `${why}; open a connection of its own to each host`);
}

/** How long the body is. Two answers to that question are smuggling, and one odd answer is as bad. */
function readFraming(request: RawRequest, headers: HeaderList): Framing | Deny {
  const lengths = headerValues(headers, "content-length");
  const encodings = headerValues(headers, "transfer-encoding");
  if (lengths.length + encodings.length > 1) {
    return refuse("bad-request", "the length of the body is given twice; give it once");
  }
  const [length] = lengths;
  const [encoding] = encodings;
  if (encoding !== undefined) {
    const isPlain = encoding.toLowerCase() === "chunked" && request.httpVersion === "1.1";
    if (isPlain) return { kind: "chunked" };
    return refuse("bad-request", "the transfer encoding is not chunked; send chunked or a length");
  }
  if (length === undefined) return { kind: "none" };
  if (!/^[0-9]{1,15}$/.test(length)) {
    return refuse("bad-request", "the content length is not a plain number; send digits only");
  }
  return { kind: "length", length: Number(length) };
}
