// WebSocket through egress: the handshake is judged like any request, and so is every message; frames are read, not passed.
import { createHash } from "node:crypto";
import { once } from "node:events";
import type http from "node:http";
import type net from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Secret } from "../../src/base/secret.ts";
import { CA_KEY_SLOT, type Route } from "../../src/policy/egress.ts";
import { encodeFrame, FrameReader, OPCODES } from "../../src/sidecars/egress/websocket/frames.ts";
import {
  bearer,
  guestAuthority,
  type Harness,
  openTunnel,
  PLACEHOLDER,
  route,
  SCANNED,
  startEgress,
  TOKEN,
  Upstream,
} from "./egress-support/harness.ts";

const HOST = "api.example.test";
const KEY = "dGhlIHNhbXBsZSBub25jZQ==";

/** One end of a WebSocket; `isClient` masks what it sends. */
class Peer {
  readonly messages: string[] = [];
  readonly controls: [opcode: number, payload: Buffer][] = [];
  fault: string | undefined;
  readonly socket: net.Socket;
  readonly #isClient: boolean;
  #message = "";

  constructor(socket: net.Socket, isClient: boolean, rest?: Buffer) {
    this.socket = socket;
    this.#isClient = isClient;
    const reader = new FrameReader(!isClient, {
      data: (_opcode, bytes, isLast) => {
        this.#message += bytes.toString("latin1");
        if (!isLast) return;
        this.messages.push(this.#message);
        this.#message = "";
      },
      control: (opcode, payload) => this.controls.push([opcode, payload]),
    });
    const read = (bytes: Buffer): void => {
      this.fault ??= reader.feed(bytes);
    };
    socket.on("data", read);
    socket.on("error", () => undefined);
    if (rest !== undefined) read(rest);
  }

  send(text: string | Buffer, opcode: number = OPCODES.text, isFinal = true): void {
    const mask = this.#isClient ? Buffer.from([1, 2, 3, 4]) : undefined;
    this.socket.write(encodeFrame({ opcode, isFinal }, Buffer.from(text), mask));
  }

  get closeCode(): number | undefined {
    const [, payload] = this.controls.find(([opcode]) => opcode === OPCODES.close) ?? [];
    return payload?.readUInt16BE(0);
  }
}

let upstream: Upstream;
let egress: Harness;
let serve: (peer: Peer, request: http.IncomingMessage) => void;
let answerWith: (key: string) => string;
let upgrades: http.IncomingMessage[];

beforeEach(async () => {
  upgrades = [];
  serve = (peer) => peer.socket.on("data", () => peer.send(peer.messages.splice(0).join()));
  answerWith = (key) =>
    [
      "HTTP/1.1 101 Switching Protocols",
      "Upgrade: websocket",
      "Connection: Upgrade",
      `Sec-WebSocket-Accept: ${createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64")}`,
      `X-Echo: ${TOKEN}`,
      `X-${TOKEN}: 1`,
    ].join("\r\n");
  upstream = await new Upstream(HOST).listen();
  upstream.server.on(
    "upgrade",
    (request: http.IncomingMessage, socket: net.Socket, rest: Buffer) => {
      upgrades.push(request);
      socket.write(`${answerWith(request.headers["sec-websocket-key"] ?? "")}\r\n\r\n`);
      serve(new Peer(socket, false, rest), request);
    },
  );
  egress = await startEgress({
    routes: [route(HOST, { auth: bearer })],
    resolve: { [HOST]: { address: "127.0.0.1", port: upstream.port } },
  });
});

afterEach(async () => {
  await egress[Symbol.asyncDispose]();
  await upstream.close();
});

const handshake = (...lines: string[]): string =>
  [
    "GET /ws HTTP/1.1",
    `Host: ${HOST}`,
    "Connection: keep-alive, Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    `Sec-WebSocket-Key: ${KEY}`,
    `Authorization: Bearer ${PLACEHOLDER}`,
    ...lines,
    "",
    "",
  ].join("\r\n");

/** Opens a tunnel and asks; gives the head of the answer and, where it switched, the peer. */
async function open(...lines: string[]): Promise<{ head: string; peer: Peer }> {
  const socket = await openTunnel(egress.door, `${HOST}:443`);
  socket.write(handshake(...lines));
  let bytes = Buffer.alloc(0);
  while (!bytes.includes("\r\n\r\n")) {
    const [chunk] = (await once(socket, "data")) as [Buffer];
    bytes = Buffer.concat([bytes, chunk]);
  }
  const end = bytes.indexOf("\r\n\r\n") + 4;
  const rest = bytes.subarray(end);
  return { head: bytes.toString("latin1", 0, end), peer: new Peer(socket, true, rest) };
}

/** Reloads with a route, as the owner sends it, and other values. */
async function reload(next: readonly Route[], values: Record<string, string> = {}): Promise<void> {
  const { config, daemon } = egress;
  const policy = { ...config.policy, routes: next };
  const all = { EGRESS_TOKEN_0: TOKEN, CANARY: SCANNED, ...values };
  const slots = Object.entries({ ...all, [CA_KEY_SLOT]: guestAuthority.keyPem });
  const secrets = new Map(slots.map(([slot, value]) => [slot, new Secret(slot, value)]));
  const parsed = daemon.parseConfig(JSON.parse(JSON.stringify({ ...config, policy })));
  expect(await daemon.reload(parsed, secrets)).toEqual({ ok: true });
}

describe("a WebSocket at a reload", () => {
  const allowed = route(HOST, { auth: bearer });

  it("goes on where it would be let out as before", async () => {
    const { peer } = await open();
    await reload([{ ...allowed, rule: "egress.routes[7]" }]);
    peer.send("hello");
    await expect.poll(() => peer.messages).toEqual(["hello"]);
    peer.socket.destroy();
  });

  it.each([
    ["its route is gone", [], {}, 1008, "host-not-allowed"],
    [
      "its path is not allowed any more",
      [
        {
          ...allowed,
          matches: [{ paths: [{ kind: "prefix", value: "/v1" }], methods: [], headers: [] }],
        },
      ],
      {},
      1008,
      "no-match",
    ],
    [
      "its credential is another",
      [allowed],
      { EGRESS_TOKEN_0: "tok-other-91" },
      1012,
      "policy-changed",
    ],
    [
      "it is judged on other terms",
      [{ ...allowed, limits: { requests: 9, bytes: undefined } }],
      {},
      1012,
      "policy-changed",
    ],
  ] as const)(
    "is closed where %s, and that is recorded",
    async (_name, next, values, code, reason) => {
      const { peer } = await open();
      const closed = once(peer.socket, "close");
      await reload(next, values);
      await closed;
      expect(peer.closeCode).toBe(code);
      const last = (await egress.audit()).at(-1);
      expect(last).toMatchObject({ kind: "request", verdict: "deny", reason, path: "/ws" });
    },
  );
});

describe("a WebSocket", () => {
  it("carries messages both ways, with the credential put in and extensions left out", async () => {
    const { head, peer } = await open("Sec-WebSocket-Extensions: permessage-deflate");
    expect(head).toMatch(/^HTTP\/1\.1 101 /);
    expect(head).toContain("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    expect(head).not.toContain(TOKEN);
    expect(upgrades[0]?.headers).toMatchObject({
      authorization: `Bearer ${TOKEN}`,
      connection: "Upgrade",
      upgrade: "websocket",
    });
    expect(upgrades[0]?.headers["sec-websocket-extensions"]).toBeUndefined();
    peer.send("hello");
    await expect.poll(() => peer.messages).toEqual(["hello"]);
    peer.send("in ", OPCODES.text, false);
    peer.send("between", OPCODES.ping);
    peer.send("parts", OPCODES.continuation);
    await expect.poll(() => peer.messages.join("|")).toContain("in parts");
    expect((await egress.audit()).at(-1)).toMatchObject({
      kind: "request",
      verdict: "allow",
      path: "/ws",
    });
    peer.socket.destroy();
  });

  it("carries pings, and a close in both directions", async () => {
    let server: Peer | undefined;
    serve = (peer) => {
      server = peer;
    };
    const { peer } = await open();
    peer.send("ping", OPCODES.ping);
    await expect.poll(() => server?.controls.length).toBe(1);
    server?.send(Buffer.from([0x03, 0xe8]), OPCODES.close);
    await expect.poll(() => peer.closeCode).toBe(1000);
    peer.send(Buffer.from([0x03, 0xe8]), OPCODES.close);
    await expect.poll(() => server?.closeCode).toBe(1000);
    peer.socket.destroy();
  });

  it.each([
    ["a message", (peer: Peer) => peer.send(`it is ${SCANNED}`)],
    ["a binary message", (peer: Peer) => peer.send(`it is ${SCANNED}`, OPCODES.binary)],
    ["base64", (peer: Peer) => peer.send(Buffer.from(SCANNED).toString("base64"))],
    ["a ping", (peer: Peer) => peer.send(SCANNED, OPCODES.ping)],
    ["the reason of a close", (peer: Peer) => peer.send(`\x03\xe8${SCANNED}`, OPCODES.close)],
    [
      "fragments",
      (peer: Peer) => {
        for (const [at, letter] of SCANNED.split("").entries()) {
          const opcode = at === 0 ? OPCODES.text : OPCODES.continuation;
          peer.send(letter, opcode, at === SCANNED.length - 1);
        }
      },
    ],
    [
      "two messages",
      (peer: Peer) => {
        peer.send(SCANNED.slice(0, 14));
        peer.send(SCANNED.slice(14));
      },
    ],
    [
      "a message and a ping",
      (peer: Peer) => {
        peer.send(SCANNED.slice(0, 14));
        peer.send(SCANNED.slice(14), OPCODES.ping);
      },
    ],
    [
      "two pings",
      (peer: Peer) => {
        peer.send(SCANNED.slice(0, 14), OPCODES.ping);
        peer.send(SCANNED.slice(14), OPCODES.ping);
      },
    ],
    [
      "a ping and a message",
      (peer: Peer) => {
        peer.send(SCANNED.slice(0, 14), OPCODES.ping);
        peer.send(SCANNED.slice(14));
      },
    ],
    [
      "a message and a long one",
      (peer: Peer) => {
        peer.send(SCANNED.slice(0, 14));
        peer.send(SCANNED.slice(14), OPCODES.binary, false);
        for (let part = 0; part < 20; part += 1) {
          peer.send(Buffer.alloc(65_536, "x"), OPCODES.continuation, false);
        }
      },
    ],
    [
      "a long message",
      (peer: Peer) => {
        for (let part = 0; part < 40; part += 1) {
          const opcode = part === 0 ? OPCODES.binary : OPCODES.continuation;
          peer.send(Buffer.alloc(65_536, "x"), opcode, false);
        }
        peer.send(`${SCANNED} and more`, OPCODES.continuation);
      },
    ],
  ])("ends when a secret is in %s", async (_name, send) => {
    let server: Peer | undefined;
    serve = (peer) => {
      server = peer;
    };
    const { peer } = await open();
    send(peer);
    await expect.poll(() => peer.closeCode, { timeout: 10_000 }).toBe(1008);
    const arrived = JSON.stringify([server?.messages, server?.controls.map(String)]);
    expect(arrived).not.toContain(SCANNED.slice(-12));
    expect((await egress.audit()).at(-1)).toMatchObject({
      verdict: "deny",
      reason: "secret-found",
    });
  });

  it("masks what an upstream echoes, also in parts", async () => {
    serve = (peer) => {
      peer.send(`you sent ${TOKEN.slice(0, 9)}`, OPCODES.text, false);
      peer.send(`${TOKEN.slice(9)}.`, OPCODES.continuation);
    };
    const { peer } = await open();
    await expect.poll(() => peer.messages).toEqual([`you sent ${"*".repeat(TOKEN.length)}.`]);
    peer.socket.destroy();
  });

  it.each([
    ["an unmasked frame", Buffer.from([0x81, 0x01, 0x61])],
    ["a reserved bit", Buffer.from([0xc1, 0x80, 0, 0, 0, 0])],
    ["an unknown kind", Buffer.from([0x83, 0x80, 0, 0, 0, 0])],
    ["a long length of a short frame", Buffer.from([0x81, 0xfe, 0, 1, 0, 0, 0, 0, 0x61])],
    ["a control frame in parts", Buffer.from([0x09, 0x80, 0, 0, 0, 0])],
    ["a continuation of nothing", Buffer.from([0x80, 0x80, 0, 0, 0, 0])],
    ["raw bytes", Buffer.from("GET /hidden HTTP/1.1\r\nHost: evil.test\r\n\r\n")],
  ])("ends at %s", async (_name, bytes) => {
    let server: Peer | undefined;
    serve = (peer) => {
      server = peer;
    };
    const { peer } = await open();
    peer.socket.write(bytes);
    await expect.poll(() => peer.closeCode).toBe(1002);
    await expect.poll(() => server?.closeCode).toBe(1002);
    expect(server?.messages).toEqual([]);
  });

  it.each([
    ["for another key", "Sec-WebSocket-Accept: ", "X-Accept: "],
    ["with an extension", "X-Echo: ", "Sec-WebSocket-Extensions: permessage-deflate; x="],
    ["with a subprotocol", "X-Echo: ", "Sec-WebSocket-Protocol: "],
    ["to another protocol", "Upgrade: websocket", "Upgrade: tcp"],
  ])("is not opened by an answer %s", async (_name, line, instead) => {
    const right = answerWith;
    answerWith = (key) => right(key).replace(line, instead);
    const { head } = await open();
    expect(head).toMatch(/^HTTP\/1\.1 502 /);
  });

  it("is refused where the upstream does not switch, with the upstream's own answer", async () => {
    upstream.server.removeAllListeners("upgrade");
    upstream.handler = (_request, response) => {
      response.writeHead(426, { "content-length": "2" });
      response.end("no");
    };
    const { head } = await open();
    expect(head).toMatch(/^HTTP\/1\.1 426 /);
  });

  it.each([
    ["a key that is none", handshake().replace(KEY, "AAAA")],
    ["another version", handshake().replace("Version: 13", "Version: 8")],
    ["a body", handshake("Content-Length: 3").concat("abc")],
    ["another method", handshake().replace("GET", "POST")],
    ["two protocols", handshake().replace("Upgrade: websocket", "Upgrade: websocket, h2c")],
    ["no Connection", handshake().replace("keep-alive, Upgrade", "keep-alive")],
  ])("is not opened by a handshake with %s", async (_name, bytes) => {
    const socket = await openTunnel(egress.door, `${HOST}:443`);
    socket.write(bytes);
    const [chunk] = (await once(socket, "data")) as [Buffer];
    expect(chunk.toString()).toMatch(/^HTTP\/1\.1 426 [^]*egress: upgrade-refused: /);
    expect(upgrades).toEqual([]);
    socket.destroy();
  });

  it("lets arrive what was sent right before the end", async () => {
    const arrived = new Promise<string[]>((resolve) => {
      serve = (peer) => peer.socket.on("close", () => resolve(peer.messages));
    });
    const { peer } = await open();
    peer.socket.cork();
    for (const text of ["one", "two", "x".repeat(70_000), "last"]) peer.send(text);
    peer.socket.uncork();
    peer.socket.end();
    expect(await arrived).toEqual(["one", "two", "x".repeat(70_000), "last"]);
  });

  it("carries floods of short messages in their order", async () => {
    const sent = Array.from({ length: 20_000 }, (_, at) => String(at));
    const arrived = new Promise<string[]>((resolve) => {
      serve = (peer) =>
        peer.socket.on("data", () => {
          if (peer.messages.length === sent.length) resolve(peer.messages);
        });
    });
    const { peer } = await open();
    peer.socket.cork();
    for (const text of sent) peer.send(text);
    peer.socket.uncork();
    expect(await arrived).toEqual(sent);
    peer.socket.destroy();
  });

  it("ends with a message of many small frames", async () => {
    const { peer } = await open();
    peer.send("x", OPCODES.text, false);
    for (let at = 0; at < 1500; at += 1) peer.send("x", OPCODES.continuation, false);
    await once(peer.socket, "close");
    expect(peer.closeCode).toBe(1002);
  });
});
