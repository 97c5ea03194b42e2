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
import { normalisePath } from "../../policy/path.ts";
import type { Deny, ReasonCode } from "../../policy/verdict.ts";
import { LruMap } from "../../tls/lru-map.ts";
import type { Arrival, Classified, StepResult } from "./context.ts";
import type { HeaderBlock } from "./header-block.ts";
import type { Incoming } from "./message.ts";
import { judgeUpgrade } from "./websocket/handshake.ts";

/** Rule that stands for the protocol itself in verdicts. */
export const PROTOCOL_RULE = "egress.protocol";

/** What of a request is looked at. */
export type RawRequest = Pick<
  Incoming,
  "version" | "method" | "target" | "hosts" | "block" | "framing"
>;

const refuse = (reason: ReasonCode, explanation: string): Deny =>
  deny(reason, PROTOCOL_RULE, explanation);

/** Classifies one request that came through a tunnel or straight to the proxy. */
export function classify(request: RawRequest, tunnel: Arrival["tunnel"]): StepResult<Classified> {
  const { method, block, framing } = request;
  const scheme: Scheme = tunnel === undefined ? "http" : "https";
  const isUpgrade = block.has("upgrade") || block.has("http2-settings");
  const fault =
    refuseMethod(method) ??
    (isUpgrade ? judgeUpgrade(request, PROTOCOL_RULE) : undefined) ??
    refuseExpectation(block);
  if (fault !== undefined) return fault;
  const target =
    tunnel === undefined
      ? splitAbsolute(request.target)
      : { authority: tunnel, path: request.target };
  if ("reason" in target) return target;
  const mismatch = refuseHost(request, target.authority, scheme);
  if (mismatch !== undefined) return mismatch;
  const path = normalisePath(target.path);
  if (!path.ok) {
    return refuse("bad-request", `${path.reason}; send the target in its plain, normalised form`);
  }
  const { authority } = target;
  const asked = { scheme, authority, method, path: path.path, query: path.query };
  return {
    kind: "classified",
    ...asked,
    headers: block.list,
    block,
    framing,
    isWebSocket: isUpgrade,
  };
}

function refuseMethod(method: string): Deny | undefined {
  if (method !== "TRACE" && method !== "CONNECT" && method !== "") return undefined;
  return refuse("bad-request", `${method || "no method"} is not forwarded; use another method`);
}

/** Nobody knows what an unknown expectation would ask of the upstream. */
function refuseExpectation(block: HeaderBlock): Deny | undefined {
  if (!block.has("expect")) return undefined;
  const isKnown = block.values("expect").every((it) => it.toLowerCase() === "100-continue");
  if (isKnown) return undefined;
  return refuse("bad-request", "only Expect: 100-continue is known; send the request without it");
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

/** Names of the same host repeat: what was said about the last ones holds for the next. */
const MAX_KNOWN_HOSTS = 256;
const knownHosts = new LruMap<string, Authority>(MAX_KNOWN_HOSTS);

function parseHost(text: string, scheme: Scheme): ParsedAuthority {
  const key = `${scheme} ${text}`;
  const known = knownHosts.get(key);
  if (known !== undefined) return { ok: true, authority: known };
  const parsed = parseAuthority(text, scheme);
  if (parsed.ok) knownHosts.set(key, parsed.authority);
  return parsed;
}

/** Every name that a request gives to its server must be the one that was connected to. */
function refuseHost(
  { hosts, version }: RawRequest,
  authority: Authority,
  scheme: Scheme,
): Deny | undefined {
  if (hosts.length === 0 || (version !== "2" && hosts.length > 1)) {
    return refuse("bad-request", "exactly one Host header is needed; send one");
  }
  for (const host of hosts) {
    const parsed = parseHost(host, scheme);
    if (!parsed.ok) return badAuthority(parsed);
    if (sameAuthority(parsed.authority, authority)) continue;
    const asked = formatAuthority(authority);
    const why = `the Host header names another host than ${asked}, which was connected to`;
    return refuse("authority-mismatch", `${why}; open a connection of its own to each host`);
  }
  return undefined;
}
