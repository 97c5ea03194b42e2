/** Where `resolve` leads names: canonical names to canonical addresses, so that what is written there is what is looked up. */
import { parseAuthority } from "./authority.ts";
import type { Resolution } from "./egress.ts";
import { formatIpv4, formatIpv6, parseIpv4, parseIpv6 } from "./ip-address.ts";

/** The canonical form of an IPv4 address in four decimals or an IPv6 address; undefined for anything else. */
export function canonicalAddress(text: string): string | undefined {
  const ipv4 = parseIpv4(text);
  if (ipv4 !== undefined) return formatIpv4(ipv4);
  const ipv6 = parseIpv6(text);
  return ipv6 === undefined ? undefined : formatIpv6(ipv6);
}

/** The canonical form of a host name without port; undefined for an address and anything else. */
export function canonicalName(text: string): string | undefined {
  const parsed = parseAuthority(text, "https");
  if (!parsed.ok || parsed.authority.kind !== "name" || text.includes(":")) return undefined;
  return parsed.authority.host;
}

/** A port number in plain decimal, or undefined. */
export function parsePort(text: string): number | undefined {
  if (!/^[1-9]\d{0,4}$/.test(text)) return undefined;
  const port = Number(text);
  return port <= 65_535 ? port : undefined;
}

/** Parses `address[:port]`, IPv6 with a port in brackets; a name is none, because it would be looked up again. */
export function parseResolution(text: string): Resolution | "no-address" | "no-port" {
  const bare = canonicalAddress(text);
  if (bare !== undefined) return { address: bare, port: undefined };
  const match = /^(?:\[([^[\]]+)\]|([^:[\]]+))(?::(.*))?$/.exec(text);
  const address = canonicalAddress(match?.[1] ?? match?.[2] ?? "");
  const isBracketed = match?.[1] !== undefined;
  if (address === undefined || isBracketed !== address.includes(":")) return "no-address";
  if (match?.[3] === undefined) return { address, port: undefined };
  const port = parsePort(match[3]);
  return port === undefined ? "no-port" : { address, port };
}
