/** What of a header list may go on to the other side. Names keep their case and order; comparisons ignore case. */
import { type HeaderList, looseHeaderName } from "../../policy/headers.ts";
import { HeaderBlock } from "./header-block.ts";

/** Headers of the connection itself (RFC 9110, 7.6.1) and their historic companions; none is ever forwarded. */
const HOP_BY_HOP = [
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
];

/** Headers that frame a message or name its server: whoever writes the message sets them. */
const WRITTEN_ANEW = ["host", "content-length", "expect"];

const NEVER_FORWARDED: ReadonlySet<string> = new Set([...HOP_BY_HOP, ...WRITTEN_ANEW]);
const NONE: readonly string[] = [];

/** What may go on: nothing of the connection, also what `Connection` names, nothing of framing, nothing of `dropped` (loose names). */
export function endToEnd(block: HeaderBlock, dropped: readonly string[] = NONE): HeaderList {
  const { list, names } = block;
  const named = block.tokens("connection");
  const kept: (readonly [string, string])[] = [];
  for (const [at, exact] of names.entries()) {
    const name = looseHeaderName(exact);
    if (NEVER_FORWARDED.has(name) || dropped.includes(name) || named.includes(exact)) continue;
    const field = list[at];
    if (field !== undefined) kept.push(field);
  }
  return kept;
}

/** Trailers that mean something behind a body and nothing before it; any other is dropped (RFC 9110, 6.5.1). */
const TRAILER =
  /^(?:grpc-[a-z0-9-]{1,40}|(?:content-|repr-)?digest|server-timing|x-checksum-[a-z0-9-]{1,20}|x-amz-checksum-[a-z0-9]{1,20})$/;

/** Keeps the trailers that may go on. */
export function safeTrailers(trailers: HeaderList): HeaderList {
  if (trailers.length === 0) return trailers;
  return trailers.filter(([name]) => TRAILER.test(name.toLowerCase()));
}
