/** The TLS files of a tcp:// endpoint, read once. Certificates are verified unless the operator's own context says otherwise. */
import { readFileSync } from "node:fs";
import { HostError, messageOf } from "../base/errors.ts";
import type { EngineEndpoint, EngineTls } from "./contract.ts";
import { describeEndpoint } from "./failure.ts";

export interface TlsFiles {
  readonly ca?: Buffer;
  readonly cert?: Buffer;
  readonly key?: Buffer;
  readonly rejectUnauthorized: boolean;
}

/** Reads the files. Throws HostError `host.backend-unavailable`. */
export function tlsOptions(endpoint: EngineEndpoint, tls: EngineTls): TlsFiles {
  const read = (file: string): Buffer => {
    try {
      return readFileSync(file);
    } catch (cause) {
      const message = `the container engine at ${describeEndpoint(endpoint)} cannot be used: ${file}: ${messageOf(cause)}`;
      const hint = "check DOCKER_CERT_PATH and the files in it";
      throw new HostError("host.backend-unavailable", message, { cause, hint });
    }
  };
  return {
    ...(tls.caFile === undefined ? {} : { ca: read(tls.caFile) }),
    ...(tls.certFile === undefined ? {} : { cert: read(tls.certFile) }),
    ...(tls.keyFile === undefined ? {} : { key: read(tls.keyFile) }),
    rejectUnauthorized: tls.verify,
  };
}
