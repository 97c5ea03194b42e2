// A real egress daemon on a unix socket, a real HTTPS upstream on loopback, and clients that speak to the door.
import { mkdtempSync, rmSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import tls from "node:tls";
import { systemClock } from "../../../src/base/clock.ts";
import { createLogger } from "../../../src/base/log.ts";
import { Secret } from "../../../src/base/secret.ts";
import { CA_KEY_SLOT, type EgressConfig, type Route } from "../../../src/policy/egress.ts";
import type { AuditEvent, AuditLine } from "../../../src/protocol/audit.ts";
import { type AuditLog, openAuditLog } from "../../../src/protocol/audit-log.ts";
import { readAudit } from "../../../src/protocol/audit-read.ts";
import type { Audit, Daemon } from "../../../src/sidecars/descriptor.ts";
import { createEgress } from "../../../src/sidecars/egress/daemon.ts";
import type { Lookup } from "../../../src/sidecars/egress/locate.ts";
import { createAuthority } from "../../../src/tls/authority.ts";
import { createLeafMinter } from "../../../src/tls/leaf.ts";

export const TOKEN = "sk-real-9f8e7d6c5b4a39281706";
export const PLACEHOLDER = "bot-bottle-placeholder-API_KEY-x1";
export const SCANNED = "canary-Zq81LmN0pQr5TuVwXyZaBcDe";

export const guestAuthority = createAuthority({ commonName: "test bottle", now: Date.now() });
export const upstreamAuthority = createAuthority({ commonName: "test upstream", now: Date.now() });

export function leafFor(
  host: string,
  authority = upstreamAuthority,
): { cert: string; key: string } {
  const { certificatePem, keyPem } = authority;
  const leaf = createLeafMinter({ certificatePem, keyPem, now: Date.now }).mint(host);
  return { cert: leaf.certPem, key: leaf.keyPem };
}

export interface Seen {
  readonly method: string;
  readonly url: string;
  readonly headers: http.IncomingHttpHeaders;
  readonly rawHeaders: readonly string[];
  readonly body: Buffer;
}

export type Handler = (request: http.IncomingMessage, response: http.ServerResponse) => void;

/** What arrived at the sink: bytes of connections and whole requests. */
export class Upstream {
  readonly seen: Seen[] = [];
  bytes = 0;
  connections = 0;
  handler: Handler = (request, response) => {
    request.on("end", () => response.end("hello from upstream\n"));
  };
  readonly server: https.Server | http.Server;
  port = 0;

  constructor(host: string | undefined, authority = upstreamAuthority) {
    const onRequest: Handler = (request, response) => {
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => {
        this.bytes += chunk.length;
        if (chunks.length < 64) chunks.push(chunk);
      });
      request.on("end", () => {
        this.seen.push({
          method: request.method ?? "",
          url: request.url ?? "",
          headers: request.headers,
          rawHeaders: request.rawHeaders,
          body: Buffer.concat(chunks),
        });
      });
      this.handler(request, response);
    };
    this.server =
      host === undefined
        ? http.createServer(onRequest)
        : https.createServer(leafFor(host, authority), onRequest);
    this.server.on("connection", () => (this.connections += 1));
    // A client that refuses our certificate is part of a test.
    this.server.on("tlsClientError", () => undefined);
  }

  async listen(): Promise<this> {
    await new Promise<void>((resolve) => this.server.listen(0, "127.0.0.1", resolve));
    this.port = (this.server.address() as net.AddressInfo).port;
    return this;
  }

  close(): Promise<void> {
    this.server.closeAllConnections();
    return new Promise((resolve) => this.server.close(() => resolve()));
  }
}

export function route(host: string, more: Partial<Route> = {}): Route {
  return {
    rule: `egress.routes[${host}]`,
    host,
    port: undefined,
    matches: [],
    auth: undefined,
    outboundOnMatch: "block",
    scansOutbound: true,
    allowsGitFetch: false,
    ...more,
  };
}

export const bearer: Route["auth"] = {
  carrier: { kind: "bearer" },
  slot: "EGRESS_TOKEN_0",
  placeholder: PLACEHOLDER,
  requirePlaceholder: false,
};

export interface Harness extends AsyncDisposable {
  readonly door: string;
  readonly auditPath: string;
  readonly daemon: Daemon<EgressConfig>;
  readonly config: EgressConfig;
  readonly logLines: string[];
  audit(): Promise<AuditLine[]>;
}

export interface HarnessOptions {
  readonly routes: readonly Route[];
  readonly resolve?: EgressConfig["policy"]["resolve"];
  readonly config?: Partial<EgressConfig>;
  readonly lookup?: Lookup;
  readonly secrets?: Readonly<Record<string, string>>;
  /** Directory of the audit file, where it is not the daemon's own. */
  readonly auditDirectory?: string;
  /** Replaces appending to the audit file. */
  readonly append?: (event: AuditEvent, file: AuditLog) => void;
  readonly onCredentialRefused?: (slot: string) => void;
}

export async function startEgress(options: HarnessOptions): Promise<Harness> {
  const directory = mkdtempSync(join(tmpdir(), "egress-"));
  const door = join(directory, "proxy.sock");
  const auditPath = join(options.auditDirectory ?? directory, "audit.jsonl");
  const file = openAuditLog(auditPath, { bottle: "test", clock: systemClock });
  const audit: Audit = {
    append: (event) => {
      if (options.append !== undefined) options.append(event, file);
      else file.append(event);
    },
  };
  const config: EgressConfig = {
    policy: { routes: options.routes, resolve: options.resolve ?? {} },
    logLevel: 0,
    upstreamCa: [upstreamAuthority.certificatePem],
    upstreamProxy: undefined,
    scanSlots: ["CANARY"],
    placeholders: options.routes.flatMap((it) =>
      it.auth === undefined ? [] : [{ value: it.auth.placeholder, host: it.host, port: it.port }],
    ),
    caCertificate: guestAuthority.certificatePem,
    ...options.config,
  };
  const values = {
    EGRESS_TOKEN_0: TOKEN,
    CANARY: SCANNED,
    [CA_KEY_SLOT]: guestAuthority.keyPem,
    ...options.secrets,
  };
  const secrets = new Map(
    Object.entries(values).map(([slot, value]) => [slot, new Secret(slot, value)]),
  );
  const logLines: string[] = [];
  const daemon = createEgress(options.lookup === undefined ? {} : { lookup: options.lookup });
  await daemon.start({
    // As the owner sends it: through JSON and the daemon's own parser.
    config: daemon.parseConfig(JSON.parse(JSON.stringify(config))),
    secrets,
    door,
    audit,
    ask: { ask: () => Promise.resolve("refused") },
    log: createLogger((line) => logLines.push(line)),
    signal: new AbortController().signal,
    onCredentialRefused: (slot) => options.onCredentialRefused?.(slot),
  });
  return {
    door,
    auditPath,
    daemon,
    config,
    logLines,
    audit: async () => {
      const lines: AuditLine[] = [];
      for await (const line of readAudit(auditPath)) lines.push(line);
      return lines;
    },
    [Symbol.asyncDispose]: async () => {
      await daemon.stop(200);
      file.close();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

export interface Answer {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: string;
  readonly bytes: number;
}

/** A tunnel to `authority`; rejects with the refusal's text when CONNECT is refused. */
export function openTunnel(
  door: string,
  authority: string,
  servername?: string,
  protocols: readonly string[] = ["http/1.1"],
): Promise<tls.TLSSocket> {
  const host = servername ?? authority.replace(/:\d+$/, "");
  return new Promise((resolve, reject) => {
    const socket = net.connect(door);
    socket.on("error", reject);
    socket.write(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n\r\n`);
    let text = "";
    const onData = (chunk: Buffer): void => {
      text += chunk.toString("latin1");
      if (!text.includes("\r\n\r\n")) return;
      if (!text.startsWith("HTTP/1.1 200")) {
        socket.once("end", () => reject(new Error(text)));
        return;
      }
      socket.off("data", onData);
      const secure = tls.connect({
        socket,
        servername: host,
        ca: guestAuthority.certificatePem,
        ALPNProtocols: [...protocols],
      });
      secure.once("secureConnect", () => resolve(secure));
      secure.once("error", reject);
      socket.once("close", () => reject(new Error("tunnel closed")));
    };
    socket.on("data", onData);
  });
}

export interface Ask {
  readonly method?: string;
  readonly path?: string;
  readonly headers?: http.OutgoingHttpHeaders | readonly string[];
  readonly body?: string | Buffer;
}

/** A connection is handed back after each answer, so that the next request goes over the same one. */
const agents = new WeakMap<net.Socket, http.Agent>();

function agentOf(socket: net.Socket): http.Agent {
  const known = agents.get(socket);
  if (known !== undefined) return known;
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  agent.createConnection = () => socket;
  agents.set(socket, agent);
  return agent;
}

/** One request over an open tunnel or connection. */
export function ask(socket: net.Socket, host: string, options: Ask = {}): Promise<Answer> {
  const { method = "GET", path = "/", headers = {}, body } = options;
  return new Promise((resolve, reject) => {
    const request = http.request({
      agent: agentOf(socket),
      method,
      path,
      headers: Array.isArray(headers)
        ? headers
        : { host, connection: "keep-alive", ...(headers as http.OutgoingHttpHeaders) },
    });
    request.on("error", reject);
    request.on("response", (response) => resolve(collect(response)));
    request.end(body);
  });
}

export function collect(response: http.IncomingMessage): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    response.on("data", (chunk: Buffer) => chunks.push(chunk));
    response.on("error", reject);
    response.on("end", () => {
      const body = Buffer.concat(chunks);
      resolve({
        status: response.statusCode ?? 0,
        headers: response.headers,
        body: body.toString("latin1"),
        bytes: body.length,
      });
    });
  });
}

/** One request through a tunnel of its own. */
export async function askThrough(
  door: string,
  host: string,
  options: Ask & { readonly authority?: string } = {},
): Promise<Answer> {
  const socket = await openTunnel(door, options.authority ?? `${host}:443`, host);
  try {
    return await ask(socket, host, options);
  } finally {
    socket.destroy();
  }
}

/** Sends bytes to the door as they are and collects what comes until the end. */
export function sendRaw(
  door: string | net.Socket,
  bytes: string | Buffer,
  waitMs = 3000,
): Promise<string> {
  const socket = typeof door === "string" ? net.connect(door) : door;
  return new Promise((resolve) => {
    let text = "";
    const finish = (): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(text);
    };
    const timer = setTimeout(finish, waitMs);
    socket.on("data", (chunk: Buffer) => (text += chunk.toString("latin1")));
    socket.on("end", finish);
    socket.on("error", finish);
    socket.on("close", finish);
    socket.write(bytes);
  });
}
