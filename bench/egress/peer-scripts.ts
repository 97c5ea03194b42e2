// Small programs around libraries that are compared with. They are written beside those libraries, where their imports resolve;
// as text, because nothing here depends on them. argv: what to listen on, what to put in, which keys to use, as JSON.

/** sandbox-runtime's proxy, standing alone, with TLS interception, an allowlist and a header put in. */
const SRT = `
import dns from "node:dns";
import { readFileSync } from "node:fs";
import { createHttpProxyServer } from "./node_modules/@anthropic-ai/sandbox-runtime/dist/sandbox/http-proxy.js";
import { createMitmCA } from "./node_modules/@anthropic-ai/sandbox-runtime/dist/sandbox/mitm-ca.js";

const { port, token, key, certificate, upstreamCa } = JSON.parse(process.argv[2]);
dns.lookup = (_name, options, done) => {
  const callback = typeof options === "function" ? options : done;
  if (options?.all) callback(null, [{ address: "127.0.0.1", family: 4 }]);
  else callback(null, "127.0.0.1", 4);
};
const server = createHttpProxyServer({
  filter: (_port, host) => host.endsWith(".bench.test"),
  mitmCA: createMitmCA({ caCertPath: certificate, caKeyPath: key }),
  mutateHeaders: (headers) => {
    headers.authorization = \`Bearer \${token}\`;
  },
  tlsTerminateUpstreamCA: readFileSync(upstreamCa),
});
server.listen(port, "127.0.0.1");
process.stdin.on("end", () => process.exit(0)).resume();
`;

/** mockttp as a proxy that passes everything through and puts a header in. */
const MOCKTTP = `
import dns from "node:dns";
import { readFileSync } from "node:fs";
import { getLocal } from "mockttp";

const { port, token, key, certificate } = JSON.parse(process.argv[2]);
const answer = (options, done) => {
  const callback = typeof options === "function" ? options : done;
  if (options?.all) callback(null, [{ address: "127.0.0.1", family: 4 }]);
  else callback(null, "127.0.0.1", 4);
};
dns.lookup = (_name, options, done) => answer(options, done);
const server = getLocal({
  https: { key: readFileSync(key, "utf8"), cert: readFileSync(certificate, "utf8") },
  http2: false,
  recordTraffic: false,
});
await server.forAnyRequest().thenPassThrough({
  transformRequest: { updateHeaders: { authorization: \`Bearer \${token}\` } },
  lookupOptions: undefined,
});
await server.start(port);
process.stdin.on("end", () => process.exit(0)).resume();
`;

/** The programs by name. */
export const PEER_SCRIPTS: Readonly<Record<"srt" | "mockttp", string>> = {
  srt: SRT,
  mockttp: MOCKTTP,
};
