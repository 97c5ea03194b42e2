/** What a version of smolvm may be used for. Pure. Features decide beside it: a version alone proves nothing. */

/** What a version is good for: doors as sockets, the address filter of the old family, or nothing. */
export type VersionVerdict =
  | { readonly kind: "sockets" }
  | { readonly kind: "tsi" }
  | { readonly kind: "refused"; readonly reason: string };

/** First version whose machines without a network reach sockets of the host, with files owned as in the image. */
export const FIRST_SOCKETS_VERSION = "1.8.1";
const FIRST_TSI = "0.8.0";
const LAST_TSI = "1.0.1";

/** The version in `smolvm X.Y.Z`; undefined for another program of this name. */
export function parseVersion(text: string): string | undefined {
  return /^smolvm (\d{1,4}\.\d{1,4}\.\d{1,4})\b/m.exec(text)?.[1];
}

/** Negative, zero or positive, as for sorting. */
export function compareVersions(left: string, right: string): number {
  const [a, b] = [left, right].map((text) => text.split(".").map(Number));
  for (const index of [0, 1, 2]) {
    const difference = (a?.[index] ?? 0) - (b?.[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** Judges a version. */
export function judgeVersion(version: string): VersionVerdict {
  if (compareVersions(version, FIRST_SOCKETS_VERSION) >= 0) return { kind: "sockets" };
  if (compareVersions(version, FIRST_TSI) < 0)
    return {
      kind: "refused",
      reason: `smolvm ${version} is too old to filter what a guest reaches`,
    };
  if (compareVersions(version, LAST_TSI) <= 0) return { kind: "tsi" };
  return {
    kind: "refused",
    reason: `smolvm ${version} lies between the two families that can be used: its filter by address cannot reach one address of the host's loopback any more, and its socket mounts are missing, hang or mix up machines before ${FIRST_SOCKETS_VERSION}`,
  };
}
