/**
 * The one canonical form of an authority. It is computed once per request and used for match, injection, dial and log;
 * whatever any parser would read as an IP address is an address here, never a name.
 */
import { domainToASCII } from "node:url";
import { endsInNumber, formatIpv4, formatIpv6, parseIpv6, parseLegacyIpv4 } from "./ip-address.ts";

/** Schemes that the proxy speaks. */
export type Scheme = "http" | "https";

/** Host and port in canonical form; IPv6 without brackets. */
export interface Authority {
  readonly host: string;
  readonly port: number;
  readonly kind: "name" | "ipv4" | "ipv6";
}

/** Outcome of parsing; `reason` is for people and holds no input. */
export type ParsedAuthority =
  | { readonly ok: true; readonly authority: Authority }
  | { readonly ok: false; readonly reason: string };

/** Longest text looked at: a name of 253 bytes with room for its IDN spelling and a port. */
export const MAX_AUTHORITY_LENGTH = 1024;
/** Longest host name (RFC 1035 less the root's byte). */
export const MAX_HOST_LENGTH = 253;

const DEFAULT_PORTS: Readonly<Record<Scheme, number>> = { http: 80, https: 443 };
const LABEL = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/;
// Anything that is a delimiter for some parser: what is left cannot be cut differently by another one.
const FORBIDDEN = /[\p{Cc}\p{Cf}\p{Zs}\p{Zl}\p{Zp}\p{Cs}%@/\\?#,;"'<>^`{|}()!$&*+=~]/u;

const refuse = (reason: string): { readonly ok: false; readonly reason: string } => ({
  ok: false,
  reason,
});

/** The port a scheme has when none is written. */
export function defaultPort(scheme: Scheme): number {
  return DEFAULT_PORTS[scheme];
}

/** Parses `host`, `host:port`, `[v6]` or `[v6]:port` of a request with the given scheme. */
export function parseAuthority(text: string, scheme: Scheme): ParsedAuthority {
  if (text === "") return refuse("the authority is empty");
  if (text.length > MAX_AUTHORITY_LENGTH) return refuse("the authority is too long");
  if (FORBIDDEN.test(text)) return refuse("the authority holds a byte that no host has");
  const split = /^(\[[^[\]]*\]|[^:[\]]*)(?::(.*))?$/su.exec(text);
  if (split === null) return refuse("the authority has colons or brackets in the wrong place");
  const port = parsePort(split[2], scheme);
  if (port === undefined) return refuse("the port is not a number from 1 to 65535");
  const host = split[1] ?? "";
  return host.startsWith("[") ? bracketed(host.slice(1, -1), port) : unbracketed(host, port);
}

function parsePort(text: string | undefined, scheme: Scheme): number | undefined {
  if (text === undefined) return DEFAULT_PORTS[scheme];
  const port = /^[1-9][0-9]{0,4}$/.test(text) ? Number(text) : 0;
  return port >= 1 && port <= 65_535 ? port : undefined;
}

function bracketed(text: string, port: number): ParsedAuthority {
  const groups = parseIpv6(text);
  if (groups === undefined) return refuse("the brackets do not hold an IPv6 address");
  return { ok: true, authority: { host: formatIpv6(groups), port, kind: "ipv6" } };
}

function unbracketed(text: string, port: number): ParsedAuthority {
  const ascii = toAscii(text);
  if (ascii === undefined) return refuse("the host is not a valid international name");
  const host = ascii.endsWith(".") ? ascii.slice(0, -1) : ascii;
  if (endsInNumber(host)) {
    const address = parseLegacyIpv4(host);
    if (address === undefined) return refuse("the host ends in a number and is no IPv4 address");
    return { ok: true, authority: { host: formatIpv4(address), port, kind: "ipv4" } };
  }
  if (host.length > MAX_HOST_LENGTH) return refuse("the host is longer than 253 bytes");
  if (!host.split(".").every((label) => LABEL.test(label))) {
    return refuse("the host has an empty, too long or malformed label");
  }
  return { ok: true, authority: { host, port, kind: "name" } };
}

const BEYOND_ASCII = /\P{ASCII}/u;

/** Lower case and A-labels; undefined where a label is not valid IDN. A-labels are never decoded: they are what DNS sees. */
function toAscii(text: string): string | undefined {
  if (!BEYOND_ASCII.test(text)) return text.toLowerCase();
  const ascii = domainToASCII(text);
  return ascii === "" || BEYOND_ASCII.test(ascii) ? undefined : ascii.toLowerCase();
}

/** Tells whether two canonical authorities are the same endpoint. */
export function sameAuthority(a: Authority, b: Authority): boolean {
  return a.host === b.host && a.port === b.port && a.kind === b.kind;
}

/** Prints `host:port`, with brackets around IPv6. */
export function formatAuthority(authority: Authority): string {
  const { host, port, kind } = authority;
  return kind === "ipv6" ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Prints the value of a Host header: the port is left out where the scheme implies it. */
export function formatHostHeader(authority: Authority, scheme: Scheme): string {
  const host = authority.kind === "ipv6" ? `[${authority.host}]` : authority.host;
  return authority.port === DEFAULT_PORTS[scheme] ? host : `${host}:${authority.port}`;
}
