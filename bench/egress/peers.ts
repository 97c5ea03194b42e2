// The proxies of the benchmark: ours, and those it is compared with, each with TLS interception, an allowlist and a header put in.
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { build } from "esbuild";
import { CA_KEY_SLOT } from "../../src/policy/egress.ts";
import { ROOT } from "../world.ts";
import { bringMitmproxy, bringNpm, bringSquid } from "./bring.ts";
import type { Door } from "./client.ts";
import { PROXY_CPU, type Started, start } from "./start-child.ts";
import { type EgressWorld, HOST, newHosts, TOKEN, TOOLS } from "./world.ts";

/** A proxy that runs. */
export interface Peer {
  readonly name: string;
  readonly door: Door;
  readonly started: Started;
  /** PEM of the authority that it shows to its clients. */
  readonly caFile: string;
}

/** Ours: the sources bundled into one file, as they are shipped. */
export async function startOurs(world: EgressWorld, flags: readonly string[] = []): Promise<Peer> {
  const outfile = join(world.directory, "ours.mjs");
  await build({
    entryPoints: [join(import.meta.dirname, "ours.ts")],
    outfile,
    bundle: true,
    format: "esm",
    platform: "node",
    target: "node24",
    banner: {
      js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);',
    },
    absWorkingDir: ROOT,
    logLevel: "error",
  });
  const door = join(world.directory, "proxy.sock");
  const file = join(world.directory, "ours.json");
  const audit = join(world.directory, "audit.jsonl");
  const config = oursConfig(world);
  const secrets = {
    EGRESS_TOKEN_0: TOKEN,
    CANARY: "canary-Zq81LmN0pQr5TuVwXyZaBcDe",
    [CA_KEY_SLOT]: world.proxyCa.slice(world.proxyCa.indexOf("-----BEGIN PRIVATE KEY")),
  };
  writeFileSync(file, JSON.stringify({ config, secrets, door, audit }));
  // As the bundle is started: no inspector on a signal.
  const argv = [process.execPath, "--disable-sigusr1", ...flags, outfile, file];
  const started = await start(argv, { cpu: PROXY_CPU, ready: "line" });
  return { name: "bot-bottle", door: { path: door }, started, caFile: world.proxyCaFile };
}

function oursConfig(world: EgressWorld): object {
  const auth = {
    carrier: { kind: "bearer" },
    slot: "EGRESS_TOKEN_0",
    placeholder: "bot-bottle-placeholder-BENCH-0123456789",
    requirePlaceholder: false,
  };
  const route = (host: string, index: number): object => ({
    rule: `egress.routes[${index}]`,
    host,
    port: world.upstreamPort,
    matches: [],
    auth,
    outboundOnMatch: "block",
    scansOutbound: true,
    allowsGitFetch: false,
  });
  const others = Array.from({ length: 10 }, (_, index) => `other-${index}.example.test`);
  const names = [HOST, ...newHosts()];
  const to = { address: "127.0.0.1", port: world.upstreamPort };
  return {
    policy: {
      routes: [...others, HOST, "*.bench.test"].map(route),
      resolve: Object.fromEntries(names.map((name) => [name, to])),
    },
    logLevel: 0,
    upstreamCa: [world.upstreamCa],
    scanSlots: ["CANARY"],
    placeholders: [{ value: auth.placeholder, host: HOST, port: world.upstreamPort }],
    caCertificate: world.proxyCa.slice(0, world.proxyCa.indexOf("-----BEGIN PRIVATE KEY")),
  };
}

/** A free port of 127.0.0.1. */
function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const address = server.address();
      const port = typeof address === "object" && address !== null ? address.port : 0;
      server.close(() => resolve(port));
    });
  });
}

/** Debian's squid with OpenSSL, one worker, nothing cached. */
export async function startSquid(world: EgressWorld): Promise<Peer> {
  const squid = bringSquid();
  const port = await freePort();
  const directory = join(world.directory, "squid");
  mkdirSync(directory, { mode: 0o777 });
  execFileSync("chmod", ["0777", directory]);
  execFileSync("chmod", ["0755", world.directory]);
  const hosts = join(directory, "hosts");
  writeFileSync(hosts, `127.0.0.1 ${[HOST, ...newHosts()].join("\n127.0.0.1 ")}\n`);
  const certgen = `${squid.certgen} -s ${directory}/certs -M 16MB`;
  execFileSync(squid.certgen, ["-c", "-s", `${directory}/certs`, "-M", "16MB"], {
    env: { ...process.env, ...squid.env },
  });
  execFileSync("chmod", ["-R", "0777", `${directory}/certs`]);
  const config = join(directory, "squid.conf");
  const lines = [
    `http_port 127.0.0.1:${port} ssl-bump tls-cert=${world.proxyCaFile} generate-host-certificates=on dynamic_cert_mem_cache_size=16MB`,
    `sslcrtd_program ${certgen}`,
    "sslcrtd_children 1 startup=1 idle=1",
    "acl step1 at_step SslBump1",
    "ssl_bump peek step1",
    "ssl_bump bump all",
    `tls_outgoing_options cafile=${world.upstreamCaFile}`,
    "acl allowed dstdomain .bench.test",
    "http_access allow allowed",
    "http_access deny all",
    "request_header_access Authorization deny all",
    `request_header_add Authorization "Bearer ${TOKEN}" all`,
    "cache deny all",
    `access_log stdio:${directory}/access.log`,
    `cache_log ${directory}/cache.log`,
    `pid_filename ${directory}/squid.pid`,
    `coredump_dir ${directory}`,
    `hosts_file ${hosts}`,
    `mime_table ${squid.share}/mime.conf`,
    `error_directory ${squid.share}-langpack/en`,
    `icon_directory ${squid.share}/icons`,
    "visible_hostname bench",
    "shutdown_lifetime 0 seconds",
    "pinger_enable off",
    `unlinkd_program ${squid.certgen.replace("security_file_certgen", "unlinkd")}`,
    `logfile_daemon ${squid.certgen.replace("security_file_certgen", "log_file_daemon")}`,
    "dns_nameservers 127.0.0.1",
    "max_filedescriptors 4096",
  ];
  writeFileSync(config, `${lines.join("\n")}\n`);
  const argv = [squid.program, "-N", "-f", config];
  const started = await start(argv, { cpu: PROXY_CPU, env: squid.env, ready: { port } });
  const door = { host: "127.0.0.1", port };
  return { name: `squid ${squid.version}`, door, started, caFile: world.proxyCaFile };
}

const ADDON = `
from mitmproxy import ctx, http
PORT = int(__import__("os").environ["BENCH_PORT"])
class Bench:
    def http_connect(self, flow):
        if not flow.request.host.endswith(".bench.test"):
            flow.response = http.Response.make(403, b"no")
    def server_connect(self, data):
        data.server.address = ("127.0.0.1", PORT)
    def request(self, flow):
        flow.request.headers["authorization"] = "Bearer ${TOKEN}"
addons = [Bench()]
`;

/** mitmproxy with an addon that allows, resolves and puts the header in. */
export async function startMitmproxy(world: EgressWorld): Promise<Peer> {
  const { program, version } = bringMitmproxy();
  const port = await freePort();
  const directory = join(world.directory, "mitmproxy");
  mkdirSync(directory);
  const addon = join(directory, "addon.py");
  writeFileSync(addon, ADDON);
  const set = [
    `confdir=${directory}`,
    `ssl_verify_upstream_trusted_ca=${world.upstreamCaFile}`,
    "http2=false",
    "flow_detail=0",
    "termlog_verbosity=error",
  ];
  writeFileSync(join(directory, "mitmproxy-ca.pem"), rsaAuthority(directory));
  const argv = [program, "-q", "--listen-host", "127.0.0.1", "-p", String(port), "-s", addon];
  const started = await start([...argv, ...set.flatMap((it) => ["--set", it])], {
    cpu: PROXY_CPU,
    env: { BENCH_PORT: String(world.upstreamPort) },
    ready: { port },
  });
  const door = { host: "127.0.0.1", port };
  return { name: `mitmproxy ${version}`, door, started, caFile: join(directory, "rsa.pem") };
}

/** Some peers take no other kind of authority: key, then certificate. */
function rsaAuthority(directory: string): string {
  const [key, certificate] = [join(directory, "rsa.key"), join(directory, "rsa.pem")];
  const subject = ["-subj", "/CN=bench rsa proxy", "-days", "2", "-nodes"];
  const files = ["-keyout", key, "-out", certificate];
  execFileSync("openssl", ["req", "-x509", "-newkey", "rsa:2048", ...subject, ...files], {
    stdio: "ignore",
  });
  return execFileSync("cat", [key, certificate]).toString();
}

/** Peers that run under Node: a module of theirs, started by a script of ours. */
export async function startNodePeer(world: EgressWorld, name: "mockttp" | "srt"): Promise<Peer> {
  const version = bringNpm();
  const port = await freePort();
  const directory = join(world.directory, name);
  mkdirSync(directory);
  rsaAuthority(directory);
  const script = join(TOOLS, `${name}-peer.mjs`);
  if (!existsSync(script)) throw new Error(`${script} is missing`);
  const given = {
    port,
    upstreamPort: world.upstreamPort,
    token: TOKEN,
    key: join(directory, "rsa.key"),
    certificate: join(directory, "rsa.pem"),
    upstreamCa: world.upstreamCaFile,
  };
  const started = await start([process.execPath, script, JSON.stringify(given)], {
    cpu: PROXY_CPU,
    env: { NODE_EXTRA_CA_CERTS: world.upstreamCaFile },
    ready: { port },
  });
  const door = { host: "127.0.0.1", port };
  return { name: `${name} ${version[name]}`, door, started, caFile: given.certificate };
}
