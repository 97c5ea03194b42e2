/**
 * Strict parsers and canonical forms of IP addresses. `parseLegacyIpv4` reads every spelling that URL parsers and libc
 * take for an IPv4 address, so that no such spelling can pass as a name.
 */

/** An IPv6 address as eight 16-bit groups. */
export type Ipv6Groups = readonly number[];

const DECIMAL_OCTET = /^(?:0|[1-9][0-9]{0,2})$/;
const HEX_GROUP = /^[0-9a-f]{1,4}$/i;

/** Parses four decimal octets without leading zeros into an unsigned 32-bit number. */
export function parseIpv4(text: string): number | undefined {
  const parts = text.split(".");
  if (parts.length !== 4) return undefined;
  let address = 0;
  for (const part of parts) {
    const octet = Number(part);
    if (!DECIMAL_OCTET.test(part) || octet > 255) return undefined;
    address = address * 256 + octet;
  }
  return address;
}

function parseLegacyNumber(part: string): number | undefined {
  if (/^0x[0-9a-f]*$/i.test(part)) return part.length === 2 ? 0 : Number.parseInt(part, 16);
  if (/^0[0-7]*$/.test(part)) return Number.parseInt(part, 8);
  return /^[1-9][0-9]*$/.test(part) ? Number(part) : undefined;
}

/** Tells whether a host must be read as an IPv4 address because its last label is a number (WHATWG URL, 3.5). */
export function endsInNumber(host: string): boolean {
  return /(?:^|\.)(?:[0-9]+|0x[0-9a-f]*)$/i.test(host);
}

/** Parses decimal, octal, hexadecimal and short forms (`127.1`, `0x7f000001`, `2130706433`). */
export function parseLegacyIpv4(text: string): number | undefined {
  const parts = text.split(".").map(parseLegacyNumber);
  const last = parts.pop();
  if (last === undefined || parts.length > 3) return undefined;
  if (last >= 256 ** (4 - parts.length)) return undefined;
  let address = last;
  for (const [index, part] of parts.entries()) {
    if (part === undefined || part > 255) return undefined;
    address += part * 256 ** (3 - index);
  }
  return address;
}

/** Prints an unsigned 32-bit number as four decimal octets. */
export function formatIpv4(address: number): string {
  return [24, 16, 8, 0].map((shift) => (address >>> shift) & 0xff).join(".");
}

function parseGroups(text: string, allowsIpv4: boolean): number[] | undefined {
  if (text === "") return [];
  const parts = text.split(":");
  const last = parts.at(-1) ?? "";
  const groups: number[] = [];
  const tail = last.includes(".") && allowsIpv4 ? parseIpv4(last) : undefined;
  if (tail !== undefined) parts.pop();
  for (const part of parts) {
    if (!HEX_GROUP.test(part)) return undefined;
    groups.push(Number.parseInt(part, 16));
  }
  if (tail !== undefined) groups.push(tail >>> 16, tail & 0xffff);
  return groups;
}

/** Parses an IPv6 address without brackets; zone identifiers are refused. */
export function parseIpv6(text: string): Ipv6Groups | undefined {
  if (text.length > 45) return undefined;
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const [headText = "", tailText] = halves;
  const head = parseGroups(headText, tailText === undefined);
  if (head === undefined) return undefined;
  if (tailText === undefined) return head.length === 8 ? head : undefined;
  const tail = parseGroups(tailText, true);
  if (tail === undefined || head.length + tail.length > 7) return undefined;
  return [...head, ...Array<number>(8 - head.length - tail.length).fill(0), ...tail];
}

function longestZeroRun(groups: Ipv6Groups): { start: number; length: number } {
  let best = { start: -1, length: 1 };
  let start = 0;
  for (const [index, group] of groups.entries()) {
    if (group !== 0) start = index + 1;
    else if (index + 1 - start > best.length) best = { start, length: index + 1 - start };
  }
  return best;
}

/** Prints the canonical form of RFC 5952, without an embedded dotted part. */
export function formatIpv6(groups: Ipv6Groups): string {
  const hex = groups.map((group) => group.toString(16));
  const { start, length } = longestZeroRun(groups);
  if (start < 0) return hex.join(":");
  return `${hex.slice(0, start).join(":")}::${hex.slice(start + length).join(":")}`;
}
