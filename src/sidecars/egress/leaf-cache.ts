/**
 * TLS contexts that stand for upstreams before the guest. Invariant: only hosts that policy allowed reach this file, and
 * the cache is bounded all the same, because wildcards let the guest choose names.
 */
import type { SecureContext } from "node:tls";
import type { Clock } from "../../base/clock.ts";
import type { Secret } from "../../base/secret.ts";
import { createLeafMinter } from "../../tls/leaf.ts";
import { LruMap } from "../../tls/lru-map.ts";
import { loadTls } from "./trust.ts";

/** Contexts kept; each is about 50 KiB. */
export const MAX_LEAVES = 256;
/** A leaf is replaced this long before it ends. */
const RENEW_BEFORE_MS = 60 * 60 * 1000;

export interface LeafCacheOptions {
  readonly certificatePem: string;
  readonly caKey: Secret;
  readonly clock: Pick<Clock, "now">;
}

/** Gives the context for a host that was authorised. */
export interface LeafCache {
  contextFor(host: string): SecureContext;
}

interface CachedLeaf {
  readonly context: SecureContext;
  readonly notAfterMs: number;
}

/** Prepares the authority. Throws when key and certificate do not belong together. */
export function createLeafCache(options: LeafCacheOptions): LeafCache {
  const { certificatePem, caKey, clock } = options;
  const now = (): number => clock.now();
  const minter = createLeafMinter({ certificatePem, keyPem: caKey.reveal(), now });
  const leaves = new LruMap<string, CachedLeaf>(MAX_LEAVES);
  const mint = (host: string): CachedLeaf => {
    const { certPem, keyPem, notAfterMs } = minter.mint(host);
    const options = { cert: certPem, key: keyPem, minVersion: "TLSv1.2" } as const;
    const context = loadTls().createSecureContext(options);
    return { context, notAfterMs };
  };
  return {
    contextFor: (host) => {
      const cached = leaves.get(host);
      if (cached !== undefined && cached.notAfterMs - RENEW_BEFORE_MS > now())
        return cached.context;
      const leaf = mint(host);
      leaves.set(host, leaf);
      return leaf.context;
    },
  };
}
