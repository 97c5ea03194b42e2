// What all proxies of the benchmark share: authorities, names, the token that is put in, and the files that say so.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createAuthority } from "../../src/tls/authority.ts";
import { ROOT } from "../world.ts";

/** Where other programs are brought to. */
export const TOOLS: string = join(ROOT, ".tools/bench");
/** The one host of most measurements. */
export const HOST = "api.bench.test";
/** Put into each request by every proxy that can. */
export const TOKEN = "sk-bench-0123456789abcdef0123456789abcdef";
/** Names that nobody has connected to before: fewer than a wildcard may stand for. */
export function newHosts(): readonly string[] {
  return Array.from({ length: 250 }, (_, index) => `n${index}.bench.test`);
}

/** One run's directory and what lies in it. */
export interface EgressWorld {
  readonly directory: string;
  /** PEM of the authority that upstreams are verified against. */
  readonly upstreamCa: string;
  /** PEM of the authority that the guest trusts: certificate, then key. */
  readonly proxyCa: string;
  readonly proxyCaFile: string;
  readonly upstreamCaFile: string;
  readonly upstreamPort: number;
}

/** Makes directory and authorities; `upstreamKey` goes to the upstream only. */
export function makeAuthorities(): {
  readonly directory: string;
  readonly upstream: ReturnType<typeof createAuthority>;
  readonly proxy: ReturnType<typeof createAuthority>;
} {
  const directory = mkdtempSync(join(tmpdir(), "bot-bottle-egress-"));
  process.on("exit", () => rmSync(directory, { recursive: true, force: true, maxRetries: 3 }));
  mkdirSync(TOOLS, { recursive: true });
  const now = Date.now();
  const upstream = createAuthority({ commonName: "bench upstream", now });
  const proxy = createAuthority({ commonName: "bench proxy", now });
  return { directory, upstream, proxy };
}

/** Writes the files that proxies read. */
export function writeWorld(
  made: ReturnType<typeof makeAuthorities>,
  upstreamPort: number,
): EgressWorld {
  const { directory, upstream, proxy } = made;
  const upstreamCaFile = join(directory, "upstream-ca.pem");
  const proxyCaFile = join(directory, "proxy-ca.pem");
  const proxyCa = `${proxy.certificatePem}${proxy.keyPem}`;
  writeFileSync(upstreamCaFile, upstream.certificatePem, { mode: 0o644 });
  writeFileSync(proxyCaFile, proxyCa, { mode: 0o644 });
  const upstreamCa = upstream.certificatePem;
  return { directory, upstreamCa, proxyCa, proxyCaFile, upstreamCaFile, upstreamPort };
}
