// The servers that real clients are tried against: an API over HTTP/1.1 and HTTP/2, events, WebSocket, a git server, a registry of
// npm and an index of pip. All on one port of loopback, told apart by name, under a CA of their own; they note who proved what.
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import {
  createSecureServer,
  type Http2SecureServer,
  type Http2ServerRequest,
  type Http2ServerResponse,
} from "node:http2";
import type { AddressInfo, Socket } from "node:net";
import { createSecureContext } from "node:tls";
import { encodeFrame, FrameReader, OPCODES } from "../../src/sidecars/egress/websocket/frames.ts";
import { createAuthority } from "../../src/tls/authority.ts";
import { createLeafMinter } from "../../src/tls/leaf.ts";
import { listen } from "./sink.ts";

export const CLIENT_HOSTS = ["api", "git", "npm", "pip", "closed"].map(
  (name) => `${name}.clients.test`,
);

/** One request, as it came. */
export interface ClientRequest {
  readonly host: string;
  readonly method: string;
  readonly url: string;
  readonly version: string;
  readonly authorization: string;
  readonly agent: string;
  readonly body: string;
}

export interface ClientUpstreamOptions {
  /** Folder of bare repositories. */
  readonly repositories: string;
  /** A package of npm, packed, and its name. */
  readonly tarball: string;
  /** A wheel for pip. */
  readonly wheel: string;
}

export class ClientUpstream implements AsyncDisposable {
  readonly seen: ClientRequest[] = [];
  /** Bytes of bodies by target, also of those that never ended. */
  readonly arriving = new Map<string, number>();
  /** Messages that arrived over WebSocket. */
  readonly messages: Buffer[] = [];
  readonly caPem: string;
  readonly #server: Http2SecureServer;
  readonly #sockets = new Set<Socket>();
  readonly #options: ClientUpstreamOptions;

  constructor(options: ClientUpstreamOptions) {
    this.#options = options;
    const authority = createAuthority({ commonName: "servers of clients", now: Date.now() });
    const minter = createLeafMinter({ ...authority, now: Date.now });
    this.caPem = authority.certificatePem;
    const first = minter.mint("default.clients.test");
    this.#server = createSecureServer(
      {
        allowHTTP1: true,
        cert: first.certPem,
        key: first.keyPem,
        SNICallback: (name, done) => {
          const leaf = minter.mint(name);
          done(null, createSecureContext({ cert: leaf.certPem, key: leaf.keyPem }));
        },
      },
      (request, response) => void this.#take(request, response),
    );
    this.#server.on("connection", (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on("close", () => this.#sockets.delete(socket));
    });
    for (const event of ["tlsClientError", "sessionError"]) this.#server.on(event, () => undefined);
    this.#server.on("upgrade", (request: IncomingMessage, socket: Socket) =>
      this.#upgrade(request, socket),
    );
  }

  /** On loopback, or on an address that containers reach. */
  async open(host = "127.0.0.1"): Promise<this> {
    await listen(this.#server, { host, port: 0 });
    return this;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async #take(request: Http2ServerRequest, response: Http2ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    try {
      for await (const chunk of request) {
        chunks.push(chunk as Buffer);
        const path = request.url ?? "";
        this.arriving.set(path, (this.arriving.get(path) ?? 0) + (chunk as Buffer).length);
      }
    } catch (error) {
      // A request that was cut off never arrived.
      return void error;
    }
    const seen = this.#note(request, Buffer.concat(chunks));
    const [name] = seen.host.split(".");
    if (name === "git") return this.#git(seen, Buffer.concat(chunks), request, response);
    if (name === "npm") return this.#npm(seen, response);
    if (name === "pip") return this.#pip(seen, response);
    if (seen.url.startsWith("/v1/open/")) return openEnded(seen.url, response);
    if (seen.url.startsWith("/v1/events")) return this.#events(response);
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ version: seen.version, method: seen.method, body: seen.body }));
  }

  #note(request: Http2ServerRequest | IncomingMessage, body: Buffer): ClientRequest {
    const { headers, method = "", url = "", httpVersion: version } = request;
    const seen = {
      host: headers[":authority"]?.toString() ?? headers.host ?? "",
      method,
      url,
      version,
      authorization: headers.authorization ?? "",
      agent: headers["user-agent"] ?? "",
      body: body.toString("latin1"),
    };
    this.seen.push(seen);
    return seen;
  }

  /** Three events, each only after the one before has left. */
  #events(response: Http2ServerResponse): void {
    response.setHeader("content-type", "text/event-stream");
    const send = (at: number): void => {
      if (at > 3) return void response.end();
      response.write(`id: ${at}\ndata: event ${at}\n\n`, () => setImmediate(send, at + 1));
    };
    send(1);
  }

  #upgrade(request: IncomingMessage, socket: Socket): void {
    this.#note(request, Buffer.alloc(0));
    const key = request.headers["sec-websocket-key"] ?? "";
    const accept = createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`);
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept.digest("base64")}\r\n\r\n`,
    );
    const reader = new FrameReader(true, {
      data: (opcode, bytes) => {
        this.messages.push(Buffer.from(bytes));
        socket.write(encodeFrame({ opcode, isFinal: true }, Buffer.from(bytes), undefined));
      },
      control: (opcode, payload) => {
        if (opcode !== OPCODES.close) return;
        socket.end(encodeFrame({ opcode: OPCODES.close, isFinal: true }, payload, undefined));
      },
    });
    socket.on("error", () => undefined);
    socket.on("data", (bytes: Buffer) => void reader.feed(bytes));
  }

  /** git's own server program, asked as a web server asks it. */
  #git(
    seen: ClientRequest,
    body: Buffer,
    request: Http2ServerRequest,
    response: Http2ServerResponse,
  ): void {
    const { pathname, search } = new URL(seen.url, "https://git.clients.test");
    const text = (name: string): string => String(request.headers[name] ?? "");
    const child = spawn("git", ["http-backend"], {
      stdio: ["pipe", "pipe", "ignore"],
      env: {
        PATH: "/usr/local/bin:/usr/bin:/bin",
        GIT_PROJECT_ROOT: this.#options.repositories,
        GIT_HTTP_EXPORT_ALL: "1",
        PATH_INFO: pathname,
        QUERY_STRING: search.slice(1),
        REQUEST_METHOD: seen.method,
        CONTENT_TYPE: text("content-type"),
        HTTP_CONTENT_ENCODING: text("content-encoding"),
        GIT_PROTOCOL: text("git-protocol"),
      },
    });
    const chunks: Buffer[] = [];
    child.stdin.on("error", () => undefined);
    child.stdin.end(body);
    child.stdout.on("data", (chunk: Buffer) => chunks.push(chunk));
    child.once("close", () => {
      const bytes = Buffer.concat(chunks);
      const end = bytes.indexOf("\r\n\r\n");
      for (const line of bytes.toString("latin1", 0, end).split("\r\n")) {
        const [name = "", ...value] = line.split(": ");
        if (name === "Status") response.statusCode = Number.parseInt(value[0] ?? "500", 10);
        else response.setHeader(name, value.join(": "));
      }
      response.end(bytes.subarray(end + 4));
    });
  }

  #npm({ url }: ClientRequest, response: Http2ServerResponse): void {
    const bytes = readFileSync(this.#options.tarball);
    if (url.endsWith(".tgz")) return void response.end(bytes);
    const name = decodeURIComponent(url.slice(1));
    if (!/^(@small\/)?greeting$/.test(name)) {
      response.statusCode = 404;
      return void response.end("{}");
    }
    const dist = {
      tarball: `https://npm.clients.test/${name}/-/greeting-1.0.0.tgz`,
      integrity: `sha512-${createHash("sha512").update(bytes).digest("base64")}`,
    };
    response.setHeader("content-type", "application/json");
    response.end(
      JSON.stringify({
        name,
        "dist-tags": { latest: "1.0.0" },
        versions: { "1.0.0": { name, version: "1.0.0", dist } },
      }),
    );
  }

  #pip({ url }: ClientRequest, response: Http2ServerResponse): void {
    if (url.endsWith(".whl")) return void response.end(readFileSync(this.#options.wheel));
    response.statusCode = url === "/simple/greeting/" ? 200 : 404;
    response.setHeader("content-type", "text/html");
    response.end(
      '<a href="/files/greeting-1.0-py3-none-any.whl">greeting-1.0-py3-none-any.whl</a>',
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

/** Begins an answer of the kind that the target names and never ends it. */
function openEnded(url: string, response: Http2ServerResponse): void {
  if (url.includes("length")) response.setHeader("content-length", 64 << 20);
  if (url.includes("events")) response.setHeader("content-type", "text/event-stream");
  response.write(url.includes("events") ? "data: first\n\n" : "first\n");
}
