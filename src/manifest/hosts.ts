/**
 * Hosts and addresses of a bottle file. The canonical form is that of policy/authority.ts, so that a route and a request
 * agree on every spelling; here the faults are told apart for people.
 */
import { parseAuthority } from "../policy/authority.ts";
import type { Resolution } from "../policy/egress.ts";
import { refuseHostPattern } from "../policy/host-pattern.ts";
import { parseIpv6 } from "../policy/ip-address.ts";
import { classifyAddress, isForbiddenForResolve } from "../policy/network.ts";
import { parsePort, parseResolution } from "../policy/resolution.ts";
import { fault, hasControl, ok, type Parsed } from "./parsed.ts";

/** A host and port of a route. */
export interface HostPort {
  /** Canonical name, or `*.` and a canonical suffix. */
  readonly host: string;
  readonly port: number | undefined;
}

const EXPECTED = "a host name such as api.example.com or api.example.com:8443";
const WILDCARD = "*. and at least two labels, such as *.example.com,";
/** Names that lead to the bottle's own doors. */
const DOORS = new Set(["egress", "git-gate", "supervise", "_egress.local"]);
/** One hint, because addresses and this machine are reached the same way. */
const RESOLVE_HINT =
  'a route to it reaches nothing: give the route a name, and the name an address with egress.resolve: { NAME: "ADDRESS:PORT" }';

/** Parses `host`, `host:port` or `*.suffix` of a route. */
export function parseRouteHost(text: string): Parsed<HostPort> {
  const parts = splitHost(text);
  if (parts.kind === "fault") return parts;
  const { name, port } = parts.value;
  const isWildcard = name.startsWith("*.");
  const parsed =
    name === "*"
      ? fault("opens every host", WILDCARD)
      : parseHostName(isWildcard ? name.slice(2) : name);
  if (parsed.kind === "fault") return parsed;
  const host = isWildcard ? `*.${parsed.value}` : parsed.value;
  if (refuseHostPattern(host) !== undefined) {
    return fault("would allow hosts of strangers", WILDCARD);
  }
  if (DOORS.has(host)) return fault("is a door of the bottle", "a host outside the bottle");
  if (parsed.value === "localhost" || parsed.value.endsWith(".localhost")) {
    return fault("is this machine", "a host name", RESOLVE_HINT);
  }
  return ok({ host, port });
}

/** Parses a host name without a port: the key of `egress.resolve`, the host of a git URL. */
export function parseHostName(text: string): Parsed<string> {
  const form = checkForm(text);
  if (form !== undefined) return form;
  if (text.includes("*")) return fault("has a wildcard", EXPECTED);
  const parsed = parseAuthority(text, "https");
  if (!parsed.ok) return fault("is not a host name", EXPECTED);
  const { kind, host } = parsed.authority;
  if (kind !== "name") return fault("is an IP address", "a host name", RESOLVE_HINT);
  return text.includes(":") ? fault("has a port", "a host name without port") : ok(host);
}

/** What is wrong with the text as a whole, before it is taken apart. */
function checkForm(text: string): Parsed<never> | undefined {
  if (text === "") return fault("is empty", EXPECTED);
  if (text.length > 1024) return fault("is too long", EXPECTED);
  if (hasControl(text) || /\s/.test(text)) {
    return fault("has a space or control character", EXPECTED);
  }
  if (text.includes("://")) return fault("has a scheme", EXPECTED);
  if (text.includes("@")) return fault("has a user part", EXPECTED);
  if (/[/\\?#]/.test(text)) return fault("has a path", EXPECTED, "put the path under matches");
  return undefined;
}

function splitHost(text: string): Parsed<{ name: string; port: number | undefined }> {
  const form = checkForm(text);
  if (form !== undefined) return form;
  const colon = text.indexOf(":", text.lastIndexOf("]") + 1);
  const isBareIpv6 = colon >= 0 && parseIpv6(text) !== undefined;
  if (isBareIpv6) return fault("is an IP address", "a host name", RESOLVE_HINT);
  if (colon < 0) return ok({ name: text, port: undefined });
  const port = parsePort(text.slice(colon + 1));
  if (port === undefined) return fault("has a port that is not one", "a port from 1 to 65535");
  return ok({ name: text.slice(0, colon), port });
}

const ENDPOINT = "an address such as 127.0.0.1, 127.0.0.1:8443 or [::1]:8443";

/** Parses a value of `egress.resolve`; what egress never dials is refused here, where the operator sees it. */
export function parseResolve(text: string): Parsed<Resolution> {
  const parsed = parseEndpoint(text);
  if (parsed.kind === "fault" || !isForbiddenForResolve(parsed.value.address)) return parsed;
  const kind = classifyAddress(parsed.value.address);
  const seen = ["public", "private", "loopback", "cgnat"].includes(kind)
    ? "is an IPv6 address that carries an IPv4 address"
    : `is a ${kind} address`;
  return fault(`${seen}, which egress never reaches`, "a public, private or loopback address");
}

/** Parses `address[:port]`; a name is refused, because it would be looked up again. */
export function parseEndpoint(text: string): Parsed<Resolution> {
  const to = parseResolution(text);
  if (to === "no-address") return fault("is not an address", ENDPOINT);
  return to === "no-port" ? fault("has a port that is not one", ENDPOINT) : ok(to);
}

/** Parses `egress.upstream_proxy`. Credentials have no place in it, because manifests are not secret. */
export function parseProxyUrl(text: string): Parsed<string> {
  const expected = "a URL such as http://proxy.example.com:3128";
  if (hasControl(text) || /\s/.test(text) || !URL.canParse(text)) {
    return fault("is not a URL", expected);
  }
  const url = new URL(text);
  if (url.protocol !== "http:") {
    return fault("is not an http URL", expected, "egress speaks plain http CONNECT to its proxy");
  }
  if (url.username !== "" || url.password !== "") {
    return fault("holds a user or password", expected);
  }
  if (url.pathname !== "/" || url.search !== "" || url.hash !== "") {
    return fault("has a path", expected);
  }
  return ok(url.origin);
}
