/**
 * The listener of the guest's proxy: one HTTP server for what comes straight and for what comes out of tunnels, so that the
 * same limits and the same parser hold for both.
 */
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { Socket } from "node:net";
import { messageOf, systemCode } from "../../base/errors.ts";
import type { Authority } from "../../policy/authority.ts";
import { deny } from "../../policy/decide.ts";
import type { Deny } from "../../policy/verdict.ts";
import { type Door, openDoor } from "../../protocol/door.ts";
import { PROTOCOL_RULE } from "./classify.ts";
import { Connections } from "./connections.ts";
import type { Services } from "./context.ts";
import { handleRequest } from "./handle-request.ts";
import { http } from "./node-http.ts";
import { createRecorder } from "./record.ts";
import { refuseSocket } from "./refusal.ts";
import type { EgressState } from "./state.ts";
import { openTunnel } from "./tunnel.ts";

/** Largest header block of a request. */
export const MAX_HEADER_BYTES: number = 64 * 1024;
/** Time for a whole header block. */
export const HEADERS_TIMEOUT_MS = 20_000;
/** Time that an idle connection is kept for its next request. */
const KEEP_ALIVE_MS = 65_000;
/** Guest connections at a time: each costs some 60 KiB with TLS. */
export const MAX_CONNECTIONS = 512;

export interface ProxyServerOptions {
  readonly services: Services;
  /** The policy in force now. */
  readonly state: () => EgressState;
  /** A fault of the listener itself: the bundle must not live on without its door. */
  readonly onFault: (error: Error) => void;
}

export interface ProxyServer {
  /** Resolves when the door accepts. */
  listen(door: Door): Promise<void>;
  /** Closes the door, waits for requests until the deadline, then cuts them. */
  stop(deadlineMs: number): Promise<void>;
  readonly isListening: boolean;
}

/** Makes the proxy's server. */
export function createProxyServer(options: ProxyServerOptions): ProxyServer {
  const server = http.createServer({
    maxHeaderSize: MAX_HEADER_BYTES,
    headersTimeout: HEADERS_TIMEOUT_MS,
    requestTimeout: 0,
    keepAliveTimeout: KEEP_ALIVE_MS,
    connectionsCheckingInterval: 5_000,
    requireHostHeader: false,
    insecureHTTPParser: false,
    noDelay: true,
  });
  server.maxConnections = MAX_CONNECTIONS;
  // The header block is bounded by its size; a bound on the number would silently drop headers from what is judged.
  server.maxHeadersCount = 0;
  const connections = new Connections();
  server.on("connection", (socket: Socket) => connections.add(socket));
  const parts: Parts = { server, connections, tunnels: new WeakMap() };
  serveRequests(parts, options);
  serveTunnels(parts, options);
  return lifecycle(parts, options.onFault);
}

interface Parts {
  readonly server: Server;
  readonly connections: Connections;
  /** Authorities by the decrypted connection that belongs to them. */
  readonly tunnels: WeakMap<Socket, Authority>;
}

function serveRequests(
  { server, connections, tunnels }: Parts,
  { services, state }: ProxyServerOptions,
): void {
  const handle = (
    request: IncomingMessage,
    response: ServerResponse,
    expectsContinue: boolean,
  ): void => {
    const { socket } = request;
    connections.begin(socket, response);
    const tunnel = tunnels.get(socket);
    void handleRequest({ request, response, tunnel, state: state(), expectsContinue }, services);
  };
  server.on("request", (request, response) => handle(request, response, false));
  server.on("checkContinue", (request, response) => handle(request, response, true));
  server.on("checkExpectation", (_request, response: ServerResponse) => {
    response.writeHead(417, { "Content-Type": "text/plain", Connection: "close" });
    response.end("egress: bad-request: only Expect: 100-continue is known\n");
  });
  server.on("clientError", (error, socket) => {
    if (!(socket instanceof Socket)) return;
    const isQuiet = !socket.writable || systemCode(error) === "ECONNRESET";
    // In the middle of an answer a refusal would be read as part of it.
    const isAnswering = connections.answersOn(socket).some((it) => it.headersSent);
    if (isQuiet || isAnswering) socket.destroy();
    else refuseRaw(services, state(), socket, malformed(error));
  });
}

function serveTunnels(
  { server, connections, tunnels }: Parts,
  { services, state }: ProxyServerOptions,
): void {
  server.on("connect", (request: IncomingMessage, _stream, head: Buffer) => {
    const { socket } = request;
    if (tunnels.has(socket)) {
      refuseRaw(services, state(), socket, tunnelInTunnel);
      return;
    }
    const onSecure = (secure: Socket, authority: Authority): void => {
      tunnels.set(secure, authority);
      connections.carry(socket, secure);
      server.emit("connection", secure);
    };
    const opened = openTunnel({ request, socket, head, state: state(), onSecure }, services);
    opened.catch((error: unknown) => {
      services.log.error("tunnel failed", { error: messageOf(error) });
      socket.destroy();
    });
  });
}

const tunnelInTunnel: Deny = deny(
  "bad-request",
  PROTOCOL_RULE,
  "CONNECT inside a tunnel is not forwarded; connect to the proxy itself",
);

function malformed(error: Error): Deny {
  const code = systemCode(error) ?? "malformed";
  return deny(
    "bad-request",
    PROTOCOL_RULE,
    `the request is not HTTP/1.1 as it should be: ${code}; send it anew`,
  );
}

function refuseRaw(services: Services, state: EgressState, socket: Socket, verdict: Deny): void {
  const { audit, log } = services;
  const { scanPolicy, config } = state;
  const recorder = createRecorder({ audit, log, logLevel: config.logLevel, scanPolicy });
  const subject = { kind: "request", host: undefined, method: undefined, path: undefined } as const;
  recorder.decide({ ...subject, isClean: true }, verdict);
  refuseSocket(socket, verdict, "a request that could not be read");
}

function lifecycle({ server, connections }: Parts, onFault: (error: Error) => void): ProxyServer {
  return {
    get isListening() {
      return server.listening;
    },
    listen: async (door) => {
      await openDoor(server, door);
      server.on("error", onFault);
    },
    stop: (deadlineMs) =>
      new Promise((resolve) => {
        const timer = setTimeout(() => connections.cut(), deadlineMs);
        server.close(() => {
          clearTimeout(timer);
          resolve();
        });
        connections.drain();
      }),
  };
}
