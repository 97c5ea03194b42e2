/** Header lists of HTTP/2 as they come from and go to Node. The library checks them; what it lets through is checked again. */
import type { OutgoingHttpHeaders } from "node:http2";
import type { HeaderList } from "../../../policy/headers.ts";
import { HeaderBlock } from "../header-block.ts";
import { isFieldValue, isToken } from "../http1/bytes.ts";
import { MAX_HEADER_COUNT, Malformed } from "../http1/fields.ts";

/** A header list taken apart. */
export interface Fields {
  /** Values of pseudo-headers by name; each may come once. */
  readonly pseudo: ReadonlyMap<string, string>;
  readonly block: HeaderBlock;
}

/** Reads a flat list of names and values. */
export function readFields(flat: readonly string[]): Fields | Malformed {
  if (flat.length > MAX_HEADER_COUNT * 2) return new Malformed("there are too many headers");
  const pseudo = new Map<string, string>();
  const list: [string, string][] = [];
  const cookies: string[] = [];
  for (let at = 0; at + 1 < flat.length; at += 2) {
    const name = flat[at] ?? "";
    const value = flat[at + 1] ?? "";
    const isPseudo = name.startsWith(":");
    const fault = isPseudo ? judgePseudo(name, pseudo, list.length) : judgeName(name);
    if (fault !== undefined) return fault;
    if (!isFieldValue(value)) return new Malformed("a header's value holds a control byte");
    if (isPseudo) pseudo.set(name, value);
    else if (name === "cookie") cookies.push(value);
    else list.push([name, value]);
  }
  // Clients may send a cookie in crumbs (RFC 9113, 8.2.3), which HTTP/1.1 has no room for.
  if (cookies.length > 0) list.push(["cookie", cookies.join("; ")]);
  return { pseudo, block: HeaderBlock.of(list) };
}

function judgePseudo(
  name: string,
  known: ReadonlyMap<string, string>,
  fields: number,
): Malformed | undefined {
  if (!known.has(name) && fields === 0) return undefined;
  return new Malformed("a pseudo-header is out of place");
}

function judgeName(name: string): Malformed | undefined {
  if (isToken(name) && name === name.toLowerCase()) return undefined;
  return new Malformed("a header has no name, or one with a byte that no name has");
}

/** Makes the form that Node takes. What stands several times is joined, except cookies that are set. */
export function renderFields(headers: HeaderList): OutgoingHttpHeaders {
  const fields: Record<string, string | string[]> = {};
  for (const [name, value] of headers) {
    const lower = name.toLowerCase();
    const known = Object.hasOwn(fields, lower) ? fields[lower] : undefined;
    if (lower === "set-cookie") {
      fields[lower] = [...(Array.isArray(known) ? known : []), value];
    } else fields[lower] = typeof known === "string" ? `${known}, ${value}` : value;
  }
  return fields;
}

/** How long a body is that follows the headers. */
export function lengthOf(block: HeaderBlock): number | undefined | Malformed {
  const lengths = block.values("content-length");
  const [length] = lengths;
  if (block.has("transfer-encoding")) return new Malformed("it has a transfer encoding");
  if (length === undefined) return undefined;
  if (lengths.length > 1 || !/^[0-9]{1,15}$/.test(length)) {
    return new Malformed("the content length is not one plain number");
  }
  return Number(length);
}
