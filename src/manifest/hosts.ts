/**
 * Host names of routes in canonical form: lower case, no trailing dot, IDN as A-labels. What is not a plain name with an
 * optional port is refused, so that one host has one spelling.
 */
import { domainToASCII } from "node:url";
import { fault, hasControl, ok, type Parsed } from "./parsed.ts";

/** A host and port of a route. */
export interface HostPort {
  /** Canonical name, or `*.` and a canonical suffix. */
  readonly host: string;
  readonly port: number | undefined;
}

const LABEL = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/;
const EXPECTED = "a host name such as api.example.com or api.example.com:8443";
/** Names that lead to the bottle's own doors. */
const DOORS = new Set(["egress", "git-gate", "supervise", "_egress.local"]);
/** One hint, because both kinds of host are reached the same way. */
const RESOLVE_HINT =
  'a route to it reaches nothing: give the route a name, and the name an address with egress.resolve: { NAME: "ADDRESS:PORT" }';

/** Parses `host`, `host:port` or `*.suffix` of a route. */
export function parseRouteHost(text: string): Parsed<HostPort> {
  const parts = splitHost(text);
  if (parts.kind === "fault") return parts;
  const { name, port } = parts.value;
  if (name.startsWith("[")) return addressFault();
  const isWildcard = name.startsWith("*.");
  const parsed = parseHostName(isWildcard ? name.slice(2) : name);
  if (parsed.kind === "fault") return parsed;
  const host = parsed.value;
  if (isWildcard && !host.includes(".")) {
    return fault(
      "opens a whole top-level domain",
      "*. and at least two labels, such as *.example.com",
    );
  }
  if (DOORS.has(host))
    return fault("is the name of a door of the bottle", "a host outside the bottle");
  if (host === "localhost" || host.endsWith(".localhost")) {
    return fault("is this machine", "a host name", RESOLVE_HINT);
  }
  return ok({ host: isWildcard ? `*.${host}` : host, port });
}

function addressFault(): Parsed<never> {
  return fault("is an IP address", "a host name", RESOLVE_HINT);
}

/** Parses a host name without a port: the key of `egress.resolve`, the host of a git URL. */
export function parseHostName(text: string): Parsed<string> {
  const form = checkForm(text);
  if (form !== undefined) return form;
  if (text.includes(":") || text.includes("*")) return fault("is not a host name", EXPECTED);
  const withoutDot = text.endsWith(".") ? text.slice(0, -1) : text;
  const ascii = isAscii(withoutDot)
    ? withoutDot.toLowerCase()
    : domainToASCII(withoutDot).toLowerCase();
  const labels = ascii.split(".");
  if (ascii === "" || ascii.length > 253 || !labels.every((label) => LABEL.test(label))) {
    return fault("is not a host name", EXPECTED);
  }
  if (labels.some((label) => label.startsWith("xn--")) && domainToASCII(ascii) !== ascii) {
    return fault("has an internationalised label that is not valid", EXPECTED);
  }
  return isAddressLike(labels) ? addressFault() : ok(ascii);
}

function isAscii(text: string): boolean {
  return !/[^ -~]/.test(text);
}

/** Resolvers read a name whose last label is a number as an IPv4 address, in many spellings. */
function isAddressLike(labels: readonly string[]): boolean {
  return /^(?:\d+|0x[0-9a-f]*)$/.test(labels.at(-1) ?? "");
}

/** What is wrong with the text as a whole, before it is taken apart. */
function checkForm(text: string): Parsed<never> | undefined {
  if (text === "") return fault("is empty", EXPECTED);
  if (text.length > 1024) return fault("is too long", EXPECTED);
  if (hasControl(text) || /\s/.test(text))
    return fault("has a space or control character", EXPECTED);
  if (text.includes("://")) return fault("has a scheme", EXPECTED);
  if (text.includes("@")) return fault("has a user part", EXPECTED);
  if (/[/\\?#]/.test(text)) return fault("has a path", EXPECTED, "put the path under matches");
  if (/[%,;<>^`{|}"']/.test(text)) return fault("has a character that no host name has", EXPECTED);
  return undefined;
}

function splitHost(text: string): Parsed<{ name: string; port: number | undefined }> {
  const form = checkForm(text);
  if (form !== undefined) return form;
  const bracket = text.lastIndexOf("]");
  const colon = text.indexOf(":", bracket + 1);
  if (bracket < 0 && text.split(":").length > 2) return addressFault();
  if (colon < 0) return ok({ name: text, port: undefined });
  const port = parsePort(text.slice(colon + 1));
  if (port === undefined) return fault("has a port that is not one", "a port from 1 to 65535");
  return ok({ name: text.slice(0, colon), port });
}

/** A port number in plain decimal, or undefined. */
export function parsePort(text: string): number | undefined {
  if (!/^[1-9]\d{0,4}$/.test(text)) return undefined;
  const port = Number(text);
  return port <= 65_535 ? port : undefined;
}

/** An address that a name leads to. */
export interface Endpoint {
  readonly address: string;
  readonly port: number | undefined;
}

const IPV4 = /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}$/;
const ENDPOINT = "an address such as 127.0.0.1, 127.0.0.1:8443 or [::1]:8443";

/** True for an IPv4 address in four plain decimals or an IPv6 address. */
export function isAddress(text: string): boolean {
  if (IPV4.test(text)) return true;
  return (
    /^[0-9A-Fa-f:.]{2,45}$/.test(text) && text.includes(":") && URL.canParse(`http://[${text}]/`)
  );
}

/** Parses `address[:port]`, a value of `egress.resolve`; a name is refused, because it would be looked up again. */
export function parseEndpoint(text: string): Parsed<Endpoint> {
  if (isAddress(text)) return ok({ address: text.toLowerCase(), port: undefined });
  const match = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d+))?$/.exec(text);
  const address = match?.[1] ?? match?.[2] ?? "";
  const isBracketed = match?.[1] !== undefined;
  if (match === null || !isAddress(address) || isBracketed !== address.includes(":")) {
    return fault("is not an address", ENDPOINT);
  }
  if (match[3] === undefined) return ok({ address: address.toLowerCase(), port: undefined });
  const port = parsePort(match[3]);
  return port === undefined
    ? fault("has a port that is not one", ENDPOINT)
    : ok({ address: address.toLowerCase(), port });
}

/** Parses `egress.upstream_proxy`. Credentials have no place in it, because manifests are not secret. */
export function parseProxyUrl(text: string): Parsed<string> {
  const expected = "a URL such as http://proxy.example.com:3128";
  if (hasControl(text) || /\s/.test(text) || !URL.canParse(text))
    return fault("is not a URL", expected);
  const url = new URL(text);
  if (url.protocol !== "http:" && url.protocol !== "https:")
    return fault("is not an http or https URL", expected);
  if (url.username !== "" || url.password !== "")
    return fault("holds a user or password", expected);
  if (url.pathname !== "/" || url.search !== "" || url.hash !== "")
    return fault("has a path", expected);
  return ok(url.origin);
}
