/** What of a header list may go on to the other side. Names keep their case and order; comparisons ignore case. */
import { type HeaderList, headerValues } from "../../policy/headers.ts";

/** Headers of the connection itself (RFC 9110, 7.6.1) and their historic companions; none is ever forwarded. */
const HOP_BY_HOP: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-authentication-info",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "http2-settings",
]);

/** Flattens a list for Node, which then writes names as they are. */
export function flattenHeaders(headers: HeaderList): string[] {
  return headers.flatMap(([name, value]) => [name, value]);
}

/** The elements of a comma-separated header, in lower case. */
export function tokensOf(headers: HeaderList, name: string): readonly string[] {
  return headerValues(headers, name)
    .flatMap((value) => value.split(","))
    .map((token) => token.trim().toLowerCase())
    .filter((token) => token !== "");
}

/** Removes headers by name, given in lower case. */
export function withoutHeaders(headers: HeaderList, names: readonly string[]): HeaderList {
  return headers.filter(([name]) => !names.includes(name.toLowerCase()));
}

/** Removes what belongs to one connection only, also what `Connection` names. */
export function stripHopByHop(headers: HeaderList): HeaderList {
  const named = tokensOf(headers, "connection");
  return headers.filter(([name]) => {
    const lower = name.toLowerCase();
    return !HOP_BY_HOP.has(lower) && !named.includes(lower);
  });
}
