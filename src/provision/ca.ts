/**
 * Which certificates the guest trusts and how its programs are told. Programs that add to their own roots get the bottle's
 * authority alone, programs that replace them get it merged with the host's.
 */
import { readFile } from "node:fs/promises";
import { HostError, systemCode } from "../base/errors.ts";

/** CA files of the guest, relative to its /etc. `merged` is where OpenSSL and most programs look by themselves. */
export const GUEST_CA_FILES = {
  own: "ssl/bot-bottle-ca.pem",
  merged: "ssl/certs/ca-certificates.crt",
} as const;

/** Absolute guest paths of the CA files. */
export interface CaPaths {
  readonly own: string;
  readonly merged: string;
}

/** Where the CA files lie in a guest whose /etc is ours. */
export const GUEST_CA_PATHS: CaPaths = {
  own: `/etc/${GUEST_CA_FILES.own}`,
  merged: `/etc/${GUEST_CA_FILES.merged}`,
};

/** Bundles of the usual systems, first found wins: Debian and Alpine, Fedora, openSUSE, macOS and OpenBSD. */
const HOST_BUNDLES = [
  "/etc/ssl/certs/ca-certificates.crt",
  "/etc/pki/tls/certs/ca-bundle.crt",
  "/etc/ssl/ca-bundle.pem",
  "/etc/ssl/cert.pem",
] as const;

const CERTIFICATE = "-----BEGIN CERTIFICATE-----";

/** Guest variables that name the CA files, for every program family that does not read the system's bundle. */
export function caEnv({ own, merged }: CaPaths = GUEST_CA_PATHS): Readonly<Record<string, string>> {
  return {
    NODE_EXTRA_CA_CERTS: own,
    DENO_CERT: own,
    SSL_CERT_FILE: merged,
    REQUESTS_CA_BUNDLE: merged,
    CURL_CA_BUNDLE: merged,
    GIT_SSL_CAINFO: merged,
    PIP_CERT: merged,
    CODEX_CA_CERTIFICATE: merged,
    CARGO_HTTP_CAINFO: merged,
    AWS_CA_BUNDLE: merged,
  };
}

/** The host's roots and `ownPem` as one PEM text; Node's roots where the host has no bundle. Throws HostError. */
export async function mergedCaBundle(
  ownPem: string,
  candidates: readonly string[] = HOST_BUNDLES,
): Promise<string> {
  const roots = (await hostBundle(candidates)) ?? (await nodeRoots());
  return `${roots.trimEnd()}\n${ownPem.trimEnd()}\n`;
}

async function hostBundle(candidates: readonly string[]): Promise<string | undefined> {
  for (const path of candidates) {
    const text = await readIfThere(path);
    if (text?.includes(CERTIFICATE) === true) return text;
  }
  return undefined;
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    if (systemCode(cause) === "ENOENT") return undefined;
    const seen = systemCode(cause) ?? "unknown error";
    throw new HostError(
      "host.unwritable",
      `the host's CA bundle cannot be read: ${path}: ${seen}`,
      {
        cause,
      },
    );
  }
}

async function nodeRoots(): Promise<string> {
  const { rootCertificates } = await import("node:tls");
  return rootCertificates.join("\n");
}
