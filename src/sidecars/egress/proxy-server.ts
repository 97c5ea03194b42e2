/**
 * The listener of the guest's proxy. What comes straight and what comes out of tunnels meets the same parser, the same limits
 * and the same steps.
 */
import { createServer, type Server, type Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { messageOf } from "../../base/errors.ts";
import type { Authority } from "../../policy/authority.ts";
import { type Door, openDoor } from "../../protocol/door.ts";
import { Connections } from "./connections.ts";
import type { Services } from "./context.ts";
import { handleRequest, refuseMalformed } from "./handle-request.ts";
import { GuestConnection, type GuestHandler } from "./http1/guest-connection.ts";
import { GuestSession } from "./http2/guest-session.ts";
import { MAX_GUEST_SESSIONS, MAX_GUEST_STREAMS } from "./http2/node-http2.ts";
import { Slots } from "./slots.ts";
import { Sweeper } from "./sweeper.ts";
import { openTunnel } from "./tunnel.ts";

/** Guest connections at a time: each costs some 60 KiB with TLS. */
export const MAX_CONNECTIONS = 512;

export interface ProxyServerOptions {
  readonly services: Services;
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
  const server = createServer({ allowHalfOpen: true });
  server.maxConnections = MAX_CONNECTIONS;
  const connections = new Connections();
  const guests = new Guests(options, connections);
  server.on("connection", (socket: Socket) => {
    connections.add(socket);
    guests.welcome(socket);
  });
  return lifecycle(server, connections, options.onFault);
}

/** Puts what speaks the right protocol on each connection. */
class Guests {
  readonly #options: ProxyServerOptions;
  readonly #connections: Connections;
  readonly #sweeper = new Sweeper();
  readonly #sessions = new Slots(MAX_GUEST_SESSIONS);
  readonly #streams = new Slots(MAX_GUEST_STREAMS);

  constructor(options: ProxyServerOptions, connections: Connections) {
    this.#options = options;
    this.#connections = connections;
  }

  /** A new connection: plain requests, or CONNECT. */
  welcome(socket: Socket): void {
    const onConnect = (target: string, rest: Buffer | undefined): void =>
      this.#connect(socket, target, rest);
    const handler = this.#handler(undefined, onConnect);
    const options = { socket, handler, sweeper: this.#sweeper, endsAtOnce: false };
    this.#connections.hold(socket, new GuestConnection(options));
  }

  #handler(tunnel: Authority | undefined, onConnect: GuestHandler["onConnect"]): GuestHandler {
    const { services } = this.#options;
    const { inForce } = services;
    return {
      onConnect,
      onRequest: (incoming, outgoing) =>
        handleRequest({ incoming, outgoing, tunnel, state: inForce.state }, services),
      onMalformed: (why, outgoing) =>
        refuseMalformed({ outgoing, tunnel, state: inForce.state }, why, services),
      onFault: (error) => services.log.error("connection failed", { error: messageOf(error) }),
    };
  }

  #connect(socket: Socket, target: string, rest: Buffer | undefined): void {
    const { services } = this.#options;
    const { state } = services.inForce;
    this.#connections.hold(socket, IDLE);
    const onSecure = (secure: TLSSocket, authority: Authority): void =>
      this.#speakInside(socket, secure, authority);
    const head = rest ?? Buffer.alloc(0);
    const sessions = this.#sessions;
    openTunnel({ target, socket, head, state, sessions, onSecure }, services).catch(
      (error: unknown) => {
        services.log.error("tunnel failed", { error: messageOf(error) });
        socket.destroy();
      },
    );
  }

  #speakInside(socket: Socket, secure: TLSSocket, authority: Authority): void {
    const handler = this.#handler(authority, undefined);
    const common = { socket: secure, handler, sweeper: this.#sweeper };
    const holder =
      secure.alpnProtocol === "h2"
        ? new GuestSession({ ...common, streams: this.#streams })
        : new GuestConnection({ ...common, endsAtOnce: true });
    this.#connections.hold(socket, holder);
  }
}

/** Stands for a connection between CONNECT and the end of its handshake. */
const IDLE = { isBusy: false, retire: (): void => undefined };

function lifecycle(
  server: Server,
  connections: Connections,
  onFault: (error: Error) => void,
): ProxyServer {
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
