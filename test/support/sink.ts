// The world outside a bottle: HTTPS and plain HTTP servers on loopback that note every connection and every request, under a CA of their own.
import {
  createServer as createHttp,
  type Server as HttpServer,
  type IncomingMessage,
  type ServerResponse,
} from "node:http";
import { createServer as createHttps } from "node:https";
import type { AddressInfo, Server, Socket } from "node:net";
import { createSecureContext } from "node:tls";
import { createAuthority } from "../../src/tls/authority.ts";
import { createLeafMinter } from "../../src/tls/leaf.ts";

export interface Arrived {
  readonly scheme: "http" | "https";
  readonly host: string;
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: Buffer;
}

type Answer = (arrived: Arrived, response: ServerResponse) => void;

/** Every name of `*.attack.test`, over TLS and over plain HTTP. */
export class Sink implements AsyncDisposable {
  readonly arrived: Arrived[] = [];
  connections = 0;
  /** Bytes of bodies, also of requests that never ended. */
  bodyBytes = 0;
  answer: Answer = (_arrived, response) => response.end("hello from outside\n");
  readonly caPem: string;
  readonly #https: HttpServer;
  readonly #http: HttpServer;

  constructor() {
    const authority = createAuthority({ commonName: "the world outside", now: Date.now() });
    this.caPem = authority.certificatePem;
    const minter = createLeafMinter({ ...authority, now: Date.now });
    const strangers = createLeafMinter({
      ...createAuthority({ commonName: "somebody else", now: Date.now() }),
      now: Date.now,
    });
    const first = minter.mint("default.attack.test");
    const SNICallback = (
      name: string,
      done: (error: Error | null, context?: ReturnType<typeof createSecureContext>) => void,
    ): void => {
      // Two names prove themselves badly: with another name's certificate, and with one of an unknown authority.
      const known = minter.mint(name.startsWith("wrong.") ? "default.attack.test" : name);
      const leaf = name.startsWith("stranger.") ? strangers.mint(name) : known;
      done(null, createSecureContext({ cert: leaf.certPem, key: leaf.keyPem }));
    };
    const identity = { cert: first.certPem, key: first.keyPem, SNICallback };
    this.#https = createHttps(
      identity,
      (request, response) => void this.#take("https", request, response),
    ) as unknown as HttpServer;
    this.#http = createHttp((request, response) => void this.#take("http", request, response));
    for (const server of [this.#https, this.#http]) {
      server.on("connection", () => (this.connections += 1));
      server.on("tlsClientError", () => undefined);
    }
  }

  /** On loopback, or on an address that containers reach. */
  async open(host = "127.0.0.1"): Promise<this> {
    const where = { host, port: 0 };
    await Promise.all([listen(this.#https, where), listen(this.#http, where)]);
    return this;
  }

  /** Takes the next upgrade to anything at its word, and collects what then comes as it is. */
  acceptUpgrade(answer: (request: IncomingMessage) => string): Buffer[] {
    const chunks: Buffer[] = [];
    this.#https.once("upgrade", (request: IncomingMessage, socket: Socket, rest: Buffer) => {
      socket.on("error", () => undefined);
      socket.on("data", (chunk: Buffer) => chunks.push(chunk));
      if (rest.length > 0) chunks.push(rest);
      socket.write(answer(request));
    });
    return chunks;
  }

  get httpsPort(): number {
    return (this.#https.address() as AddressInfo).port;
  }

  get httpPort(): number {
    return (this.#http.address() as AddressInfo).port;
  }

  /** What a refused attempt must not change. */
  count(): { requests: number; connections: number; bodyBytes: number } {
    return {
      requests: this.arrived.length,
      connections: this.connections,
      bodyBytes: this.bodyBytes,
    };
  }

  async #take(
    scheme: Arrived["scheme"],
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    const chunks: Buffer[] = [];
    request.on("error", () => undefined);
    try {
      for await (const chunk of request) {
        chunks.push(chunk as Buffer);
        this.bodyBytes += (chunk as Buffer).length;
      }
    } catch (error) {
      // A request that was cut off never arrived.
      return void error;
    }
    const { method = "", url = "", headers } = request;
    const arrived = {
      scheme,
      host: headers.host ?? "",
      method,
      url,
      headers,
      body: Buffer.concat(chunks),
    };
    this.arrived.push(arrived);
    this.answer(arrived, response);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const server of [this.#https, this.#http]) {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  }
}

/** Listens on a free port of 127.0.0.1, or where it is told. */
export function listen(
  server: Server,
  where: object | string = { host: "127.0.0.1", port: 0 },
): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(where, resolve);
  });
}
