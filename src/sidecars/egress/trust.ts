/** Which certificates an upstream may present: the system's roots and those of the manifest, never none. */
import { readFileSync } from "node:fs";
import type { SecureContext } from "node:tls";
import { ProtocolError, systemCode } from "../../base/errors.ts";

/** Root bundles by distribution. Reading one file is far quicker than Node's walk over a directory of links. */
const ROOT_FILES = [
  "/etc/ssl/certs/ca-certificates.crt",
  "/etc/pki/tls/certs/ca-bundle.crt",
  "/etc/ssl/ca-bundle.pem",
  "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
  "/etc/ssl/cert.pem",
] as const;

/** Node's TLS module, loaded on first use: a bundle is ready before it needs it. */
export function loadTls(): typeof import("node:tls") {
  return process.getBuiltinModule("node:tls");
}

/** Makes the context that upstreams are verified with. Throws ProtocolError when an extra root is no certificate. */
export function createUpstreamContext(extraRoots: readonly string[]): SecureContext {
  const tls = loadTls();
  const roots = readRoots() ??
    nonEmpty(tls.getCACertificates("system")) ?? [...tls.rootCertificates];
  try {
    return tls.createSecureContext({ ca: [...roots, ...extraRoots], minVersion: "TLSv1.2" });
  } catch (error) {
    throw new ProtocolError(
      "protocol.message",
      "upstream_ca: a file holds no usable PEM certificate",
      {
        cause: error,
      },
    );
  }
}

function readRoots(): readonly string[] | undefined {
  for (const path of ROOT_FILES) {
    try {
      const text = readFileSync(path, "latin1");
      if (text.includes("-----BEGIN CERTIFICATE-----")) return [text];
    } catch (error) {
      if (systemCode(error) === undefined) throw error;
    }
  }
  return undefined;
}

function nonEmpty(roots: readonly string[]): readonly string[] | undefined {
  return roots.length === 0 ? undefined : roots;
}
