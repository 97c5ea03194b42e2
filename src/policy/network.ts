/**
 * What kind of place an address is. Everything that is not plainly public is forbidden, and addresses that carry an
 * IPv4 address (mapped, NAT64, 6to4, Teredo, ISATAP) are forbidden whatever they carry.
 */
import { type Ipv6Groups, parseIpv4, parseIpv6 } from "./ip-address.ts";

/** Kind of an address; `translated` carries a public IPv4 address, `invalid` is no address at all. */
export type AddressClass =
  | "public"
  | "loopback"
  | "private"
  | "link-local"
  | "metadata"
  | "cgnat"
  | "multicast"
  | "reserved"
  | "unspecified"
  | "translated"
  | "invalid";

/** Cloud metadata and host-agent endpoints that lie in otherwise ordinary ranges. */
const METADATA: ReadonlySet<string> = new Set([
  "169.254.169.254",
  "169.254.169.253",
  "169.254.169.123",
  "169.254.170.2",
  "169.254.170.23",
  "169.254.0.23",
  "169.254.10.10",
  "100.100.100.200",
  "168.63.129.16",
  "192.0.0.192",
]);

/** First groups of IPv6 metadata endpoints, all eight given. */
const METADATA_V6: ReadonlySet<string> = new Set([
  "fd00:ec2:0:0:0:0:0:254",
  "fd00:ec2:0:0:0:0:0:253",
  "fd00:ec2:0:0:0:0:0:123",
  "fd00:ec2:0:0:0:0:0:23",
  "fd20:ce:0:0:0:0:0:254",
  "fd00:42:0:0:0:0:0:42",
  "fd00:c1:0:0:0:0:a9fe:a9fe",
  "fe80:0:0:0:0:0:a9fe:a9fe",
]);

const block = (
  address: string,
  bits: number,
  kind: AddressClass,
): { readonly base: number; readonly size: number; readonly kind: AddressClass } => ({
  base: parseIpv4(address) ?? 0,
  size: 2 ** (32 - bits),
  kind,
});

/** The special-purpose registry of IPv4 (RFC 6890 and its successors). */
const IPV4_BLOCKS = [
  block("0.0.0.0", 32, "unspecified"),
  block("0.0.0.0", 8, "reserved"),
  block("10.0.0.0", 8, "private"),
  block("100.64.0.0", 10, "cgnat"),
  block("127.0.0.0", 8, "loopback"),
  block("169.254.0.0", 16, "link-local"),
  block("172.16.0.0", 12, "private"),
  block("192.0.0.0", 24, "reserved"),
  block("192.0.2.0", 24, "reserved"),
  block("192.88.99.0", 24, "reserved"),
  block("192.168.0.0", 16, "private"),
  block("198.18.0.0", 15, "reserved"),
  block("198.51.100.0", 24, "reserved"),
  block("203.0.113.0", 24, "reserved"),
  block("224.0.0.0", 4, "multicast"),
  block("240.0.0.0", 4, "reserved"),
];

const METADATA_V4: ReadonlySet<number> = new Set([...METADATA].map((ip) => parseIpv4(ip) ?? 0));

function classifyIpv4(address: number): AddressClass {
  if (METADATA_V4.has(address)) return "metadata";
  const found = IPV4_BLOCKS.find((it) => address >= it.base && address < it.base + it.size);
  return found?.kind ?? "public";
}

const join = (high = 0, low = 0): number => high * 65_536 + low;

const hexDigits = (groups: Ipv6Groups): string =>
  groups.map((group) => group.toString(16).padStart(4, "0")).join("");

/** Forms that carry an IPv4 address, over the 32 hexadecimal digits, and the digit at which it stands. */
const CARRIERS: readonly (readonly [form: RegExp, at: number])[] = [
  // Mapped (::ffff:0:0/96), translated (::ffff:0:0:0/96) and compatible (::/96 without :: and ::1).
  [/^0{20}ffff/, 24],
  [/^0{16}ffff0000/, 24],
  [/^0{24}(?!0{7}[01]$)/, 24],
  // NAT64: the well-known prefix and the one for local use.
  [/^0064ff9b(?:0{16}|0001)/, 24],
  // 6to4 and ISATAP.
  [/^2002/, 4],
  [/^.{16}0[02]005efe/, 24],
];

/** The IPv4 address that an IPv6 address carries, undefined where it carries none. */
function embeddedIpv4(groups: Ipv6Groups): number | undefined {
  const digits = hexDigits(groups);
  const carrier = CARRIERS.find(([form]) => form.test(digits));
  if (carrier !== undefined) return Number.parseInt(digits.slice(carrier[1], carrier[1] + 8), 16);
  // Teredo (2001::/32) keeps the client's address with all bits turned.
  return digits.startsWith("20010000")
    ? 0xffff_ffff - Number.parseInt(digits.slice(24), 16)
    : undefined;
}

function classifyIpv6(groups: Ipv6Groups): AddressClass {
  const embedded = embeddedIpv4(groups);
  if (embedded !== undefined) {
    const carried = classifyIpv4(embedded);
    return carried === "public" ? "translated" : carried;
  }
  if (METADATA_V6.has(groups.map((group) => group.toString(16)).join(":"))) return "metadata";
  if (groups.every((group, index) => group === (index === 7 ? 1 : 0))) return "loopback";
  return classifyPrefix(groups);
}

/** Prefixes of up to 32 bits, the first that holds; outside of 2000::/3 nothing is public. */
const IPV6_PREFIXES: readonly (readonly [first: number, last: number, kind: AddressClass])[] = [
  [0xff00_0000, 0xffff_ffff, "multicast"],
  [0xfe80_0000, 0xfebf_ffff, "link-local"],
  [0xfec0_0000, 0xfeff_ffff, "private"],
  [0xfc00_0000, 0xfdff_ffff, "private"],
  // 2001::/23 is for protocol assignments, 2001:db8::/32 and 3fff::/20 for documentation.
  [0x2001_0000, 0x2001_01ff, "reserved"],
  [0x2001_0db8, 0x2001_0db8, "reserved"],
  [0x3fff_0000, 0x3fff_0fff, "reserved"],
  [0x2000_0000, 0x3fff_ffff, "public"],
];

function classifyPrefix(groups: Ipv6Groups): AddressClass {
  if (groups.every((group) => group === 0)) return "unspecified";
  const prefix = join(groups[0], groups[1]);
  const found = IPV6_PREFIXES.find(([first, last]) => prefix >= first && prefix <= last);
  return found?.[2] ?? "reserved";
}

/** Classifies an address in its strict spelling; anything else, zone identifiers included, is `invalid`. */
export function classifyAddress(ip: string): AddressClass {
  const v4 = parseIpv4(ip);
  if (v4 !== undefined) return classifyIpv4(v4);
  const v6 = parseIpv6(ip);
  return v6 === undefined ? "invalid" : classifyIpv6(v6);
}

/** Tells whether an IPv6 address carries an IPv4 address. */
export function carriesIpv4(ip: string): boolean {
  const v6 = parseIpv6(ip);
  return v6 !== undefined && embeddedIpv4(v6) !== undefined;
}

/** Tells whether a name that was looked up in DNS must not lead to this address. */
export function isForbidden(ip: string): boolean {
  return classifyAddress(ip) !== "public" || carriesIpv4(ip);
}

const RESOLVABLE: ReadonlySet<AddressClass> = new Set(["public", "loopback", "private", "cgnat"]);

/** Tells whether even an `egress.resolve` entry must not lead to this address. */
export function isForbiddenForResolve(ip: string): boolean {
  return !RESOLVABLE.has(classifyAddress(ip)) || carriesIpv4(ip);
}
