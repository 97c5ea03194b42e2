// The load generator: raw TLS sockets with a tiny reader of answers, so that it is not what is measured.
import { once } from "node:events";
import { connect as connectHttp2 } from "node:http2";
import { connect as connectTcp, type Socket } from "node:net";
import {
  connect as connectTls,
  createSecureContext,
  type SecureContext,
  type TLSSocket,
} from "node:tls";
import { BODY_BYTES } from "./modes.ts";

/** Where a proxy listens; undefined is the upstream itself, without a proxy. */
export type Door = { readonly path: string } | { readonly host: string; readonly port: number };

export interface Target {
  readonly door: Door | undefined;
  readonly upstreamPort: number;
  readonly trust: SecureContext;
}

/** Makes what the client trusts. */
export const trustOf = (pem: string): SecureContext => createSecureContext({ ca: pem });

/** Opens a connection to a host, through CONNECT where there is a proxy. */
export async function open(
  target: Target,
  host: string,
  protocol: "h2" | "http/1.1" = "http/1.1",
): Promise<TLSSocket> {
  const { door, upstreamPort, trust } = target;
  const socket = connectTcp(door ?? { host: "127.0.0.1", port: upstreamPort });
  socket.setNoDelay(true);
  await event(socket, "connect");
  if (door !== undefined) await tunnel(socket, `${host}:${upstreamPort}`);
  const secure = connectTls({
    socket,
    servername: host,
    secureContext: trust,
    ALPNProtocols: [protocol],
  });
  await event(secure, "secureConnect");
  return secure;
}

async function tunnel(socket: Socket, authority: string): Promise<void> {
  socket.write(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n\r\n`);
  let text = "";
  while (!text.includes("\r\n\r\n")) {
    const [chunk] = await event(socket, "data");
    text += String(chunk);
  }
  if (!/^HTTP\/1\.[01] 200/.test(text)) throw new Error(`CONNECT: ${text.slice(0, 200)}`);
}

function event(socket: Socket, name: string): Promise<unknown[]> {
  return new Promise((resolve, reject) => {
    const done = (...args: unknown[]): void => {
      socket.off("error", fail).off("close", fail);
      resolve(args);
    };
    const fail = (error?: unknown): void => {
      socket.off(name, done);
      reject(error instanceof Error ? error : new Error(`closed before ${name}`));
    };
    socket.once(name, done).once("error", fail).once("close", fail);
  });
}

/** Requests for other targets each: a proxy that remembered the last one would be measured for that alone. */
export function varied(host: string, port: number, path: string): () => Buffer {
  const all = Array.from({ length: 20_000 }, (_, at) =>
    get(host, port, `${path}/${at}?q=${at * 7}`),
  );
  let next = 0;
  return () => all[next++ % all.length] ?? Buffer.alloc(0);
}

export const get = (host: string, port: number, path: string): Buffer =>
  Buffer.from(
    `GET ${path} HTTP/1.1\r\nHost: ${host}:${port}\r\nUser-Agent: bench/1.0\r\nAccept: application/json\r\nAccept-Language: en\r\nX-Client: node\r\nX-Session: 7f1c2f0e-6f7b-4f55-9b43-000000000000\r\n\r\n`,
  );

const UPLOAD = Buffer.alloc(
  BODY_BYTES,
  '{"role":"user","content":"The quick brown fox jumps over it."},\n',
);

export const upload = (host: string, port: number): Buffer =>
  Buffer.concat([
    Buffer.from(
      `POST /up HTTP/1.1\r\nHost: ${host}:${port}\r\nContent-Type: application/json\r\nContent-Length: ${BODY_BYTES}\r\n\r\n`,
    ),
    UPLOAD,
  ]);

/** Sends requests one after another on one connection until told to stop. */
export class Lane {
  readonly #socket: TLSSocket;
  readonly #request: () => Buffer;
  readonly #onAnswer: (ms: number) => boolean;
  #left = -1;
  #held: Buffer = Buffer.alloc(0);
  #began = 0;
  #finish: () => void = () => undefined;
  #fail: (error: Error) => void = () => undefined;

  constructor(socket: TLSSocket, request: () => Buffer, onAnswer: (ms: number) => boolean) {
    this.#socket = socket;
    this.#request = request;
    this.#onAnswer = onAnswer;
  }

  run(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#finish = () => {
        this.#socket.removeAllListeners("data");
        resolve();
      };
      this.#fail = reject;
      this.#socket.on("data", (chunk: Buffer) => this.#read(chunk));
      this.#socket.once("error", reject);
      this.#socket.once("close", () => reject(new Error("the connection was closed")));
      this.#send();
    });
  }

  #send(): void {
    this.#began = performance.now();
    this.#socket.write(this.#request());
  }

  #read(chunk: Buffer): void {
    if (this.#left > 0) {
      this.#left -= chunk.length;
      if (this.#left <= 0) this.#end();
      return;
    }
    const bytes = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    const end = bytes.indexOf("\r\n\r\n");
    if (end < 0) {
      this.#held = bytes;
      return;
    }
    this.#held = Buffer.alloc(0);
    const head = bytes.toString("latin1", 0, end);
    if (!head.startsWith("HTTP/1.1 200")) {
      this.#fail(new Error(`answered ${bytes.toString("latin1", 0, 300)}`));
      return;
    }
    this.#left = lengthIn(head) - (bytes.length - end - 4);
    if (this.#left <= 0) this.#end();
  }

  #end(): void {
    this.#left = -1;
    if (this.#onAnswer(performance.now() - this.#began)) this.#send();
    else this.#finish();
  }
}

/** All of our answers have a length. */
function lengthIn(head: string): number {
  const found = /\r\ncontent-length: *(\d+)/i.exec(head);
  if (found === null) throw new Error(`no length: ${head}`);
  return Number(found[1]);
}

/** Reads one stream of events; gives the delay of each in milliseconds. */
export async function readEvents(socket: TLSSocket, request: Buffer): Promise<readonly number[]> {
  const delays: number[] = [];
  socket.write(request);
  for (;;) {
    const [chunk] = await event(socket, "data");
    const now = process.hrtime.bigint();
    const text = String(chunk);
    for (const match of text.matchAll(/data: (\d+)/g)) {
      delays.push(Number(now - BigInt(match[1] ?? 0)) / 1e6);
    }
    if (/(?:^|\r\n)0\r\n\r\n$/.test(text)) return delays;
  }
}

/** Requests over streams of one session of HTTP/2, some at a time, for a time; gives how many. */
export async function streams(
  target: Target,
  host: string,
  load: { readonly parallel: number; readonly ms: number },
): Promise<number> {
  const socket = await open(target, host, "h2");
  if (socket.alpnProtocol !== "h2") throw new Error("HTTP/2 is not spoken");
  const authority = `${host}:${target.upstreamPort}`;
  const session = connectHttp2(`https://${authority}`, { createConnection: () => socket });
  const until = performance.now() + load.ms;
  let count = 0;
  const lane = async (): Promise<void> => {
    while (performance.now() < until) {
      const stream = session.request({
        ":path": `/small/${count}?q=1`,
        accept: "application/json",
      });
      stream.resume();
      await once(stream, "end");
      count += 1;
    }
  };
  await Promise.all(Array.from({ length: load.parallel }, lane));
  session.destroy();
  return count;
}
