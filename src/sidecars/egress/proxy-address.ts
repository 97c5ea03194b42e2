/** Reads `egress.upstream_proxy`: an http:// URL of a CONNECT proxy, without credentials, which would be printed with the plan. */
import { ProtocolError } from "../../base/errors.ts";

/** Where the operator's proxy listens. */
export interface ProxyAddress {
  readonly host: string;
  readonly port: number;
}

/** Parses the URL. Throws ProtocolError. */
export function parseProxyAddress(text: string): ProxyAddress {
  const url = URL.parse(text);
  const isPlain =
    url?.protocol === "http:" &&
    url.username === "" &&
    url.password === "" &&
    url.pathname === "/" &&
    url.search === "";
  if (!isPlain) {
    throw new ProtocolError(
      "protocol.message",
      "egress.upstream_proxy is not usable: http://host:port without credentials or path is expected",
    );
  }
  const host = url.hostname.replace(/^\[|\]$/g, "");
  return { host, port: url.port === "" ? 80 : Number(url.port) };
}
