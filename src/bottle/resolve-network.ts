/** Derives a bottle's private network from its slug, so that addresses are known before anything exists. Pure. */
import { createHash } from "node:crypto";
import type { AttachmentKind, NetworkPlan } from "../backends/contract.ts";
import { LaunchError } from "../base/errors.ts";
import type { BottleId } from "../base/ids.ts";

/** Third octets: all of 192.168.0.0/16. */
const OCTETS = 256;
/** 192.168.17.0/24 is another tool's usual default. */
const SKIPPED_OCTET = 17;

/** Further subnets that a plan names: what overlaps although nobody knew is rare. */
const ALTERNATIVES = 7;

/**
 * The first /24 of 192.168.0.0/16, counted from where the SHA-256 of the slug points, that overlaps no subnet in use, and the
 * ones after it. Throws LaunchError `launch.no-subnet` when all are taken.
 */
export function resolveNetwork(
  id: BottleId,
  name: string,
  takenSubnets: readonly string[],
): NetworkPlan {
  const taken = takenSubnets.flatMap((subnet) => parseSubnet(subnet) ?? []);
  const start = createHash("sha256").update(id).digest().readUInt16BE(0) % OCTETS;
  const [first, ...others] = Array.from({ length: OCTETS }, (_, step) => (start + step) % OCTETS)
    .filter((octet) => octet !== SKIPPED_OCTET)
    .map((octet) => ({ address: ((192 << 24) | (168 << 16) | (octet << 8)) >>> 0, bits: 24 }))
    .filter((candidate) => !taken.some((other) => overlaps(candidate, other)))
    .map(({ address }) => `192.168.${(address >>> 8) & 255}.0/24`);
  if (first !== undefined)
    return { name, ...placesIn(first), alternatives: others.slice(0, ALTERNATIVES) };
  throw new LaunchError(
    "launch.no-subnet",
    "no subnet is free: every /24 of 192.168.0.0/16 is in use by a route or a network",
    { hint: "remove networks that nobody uses: docker network prune" },
  );
}

/** The same network in its next subnet; undefined when there is none left. */
export function nextNetwork(network: NetworkPlan): NetworkPlan | undefined {
  const [next, ...alternatives] = network.alternatives ?? [];
  return next === undefined ? undefined : { ...network, ...placesIn(next), alternatives };
}

/** Where the doors' names lead in the guest; undefined where guest-init's relays stand for the doors. */
export function doorAddressOf(
  attachment: AttachmentKind,
  network: NetworkPlan | undefined,
): string | undefined {
  return attachment === "internal" ? network?.bundleAddress : undefined;
}

function placesIn(subnet: string): Pick<NetworkPlan, "subnet" | "gateway" | "bundleAddress"> {
  const prefix = subnet.replace(/0\/24$/, "");
  return { subnet, gateway: `${prefix}1`, bundleAddress: `${prefix}2` };
}

interface Subnet {
  readonly address: number;
  readonly bits: number;
}

/** An IPv4 subnet in CIDR form; undefined for IPv6 and for anything else, which cannot overlap. */
function parseSubnet(text: string): Subnet | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\/(\d{1,2})$/.exec(text);
  if (match === null) return undefined;
  const [a = 0, b = 0, c = 0, d = 0, bits = 0] = match.slice(1).map(Number);
  if (bits > 32 || [a, b, c, d].some((octet) => octet > 255)) return undefined;
  return { address: ((a << 24) | (b << 16) | (c << 8) | d) >>> 0, bits };
}

/** A default route (`/0`) is no use of an address. */
function overlaps(one: Subnet, other: Subnet): boolean {
  const bits = Math.min(one.bits, other.bits);
  if (bits === 0) return false;
  const shift = 32 - bits;
  return one.address >>> shift === other.address >>> shift;
}
