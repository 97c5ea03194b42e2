// Egress as an HTTP implementation: framing, upgrades, streaming, limits, other people's proxies.
import http from "node:http";
import net from "node:net";
import { performance } from "node:perf_hooks";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  ask,
  askThrough,
  bearer,
  collect,
  type Harness,
  openTunnel,
  PLACEHOLDER,
  route,
  SCANNED,
  sendRaw,
  startEgress,
  TOKEN,
  Upstream,
} from "./egress-support/harness.ts";

const HOST = "api.example.test";
const PLAIN = "plain.example.test";
const MIB = 1024 * 1024;
let upstream: Upstream;
let plain: Upstream;
let egress: Harness;

beforeEach(async () => {
  upstream = await new Upstream(HOST).listen();
  plain = await new Upstream(undefined).listen();
  egress = await startEgress({
    routes: [route(HOST, { auth: bearer }), route(PLAIN)],
    resolve: {
      [HOST]: { address: "127.0.0.1", port: upstream.port },
      [PLAIN]: { address: "127.0.0.1", port: plain.port },
    },
  });
});

afterEach(async () => {
  await egress[Symbol.asyncDispose]();
  await upstream.close();
  await plain.close();
});

const head = (...lines: string[]): string =>
  [`POST http://${PLAIN}/ HTTP/1.1`, `Host: ${PLAIN}`, ...lines, "", ""].join("\r\n");

describe("framing", () => {
  const attempts: [string, string][] = [
    ["length and chunked", `${head("Content-Length: 5", "Transfer-Encoding: chunked")}0\r\n\r\n`],
    ["chunked and length", `${head("Transfer-Encoding: chunked", "Content-Length: 5")}0\r\n\r\n`],
    ["two lengths", `${head("Content-Length: 5", "Content-Length: 6")}hello`],
    ["the same length twice", `${head("Content-Length: 5", "Content-Length: 5")}hello`],
    ["a list of lengths", `${head("Content-Length: 5, 5")}hello`],
    ["a signed length", `${head("Content-Length: +5")}hello`],
    ["a negative length", `${head("Content-Length: -5")}hello`],
    ["a hexadecimal length", `${head("Content-Length: 0x5")}hello`],
    ["xchunked", `${head("Transfer-Encoding: xchunked")}0\r\n\r\n`],
    ["chunked, identity", `${head("Transfer-Encoding: chunked, identity")}0\r\n\r\n`],
    ["gzip, chunked", `${head("Transfer-Encoding: gzip, chunked")}0\r\n\r\n`],
    [
      "two transfer encodings",
      `${head("Transfer-Encoding: chunked", "Transfer-Encoding: chunked")}0\r\n\r\n`,
    ],
    ["a blank before the colon", `${head("Transfer-Encoding : chunked")}0\r\n\r\n`],
    ["a folded header", head("X-A: 1", " Transfer-Encoding: chunked")],
    ["an odd chunk size", `${head("Transfer-Encoding: chunked")}0x5\r\nhello\r\n0\r\n\r\n`],
    ["chunked in HTTP/1.0", head("Transfer-Encoding: chunked").replace("HTTP/1.1", "HTTP/1.0")],
    ["two hosts", head("Host: evil.test")],
    ["no host", `GET http://${PLAIN}/ HTTP/1.1\r\n\r\n`],
    ["bare line feeds", head("Content-Length: 0").replaceAll("\r\n", "\n")],
    ["a bad version", head("Content-Length: 0").replace("HTTP/1.1", "HTTP/3.7")],
    ["HTTP/2 by prior knowledge", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
    ["a NUL in a value", head("X-A: a\0b", "Content-Length: 0")],
    ["TRACE", head("Content-Length: 0").replace("POST", "TRACE")],
    ["headers over 64 KiB", head(`X-A: ${"a".repeat(70_000)}`)],
  ];

  it.each(attempts)("refuses %s", async (_name, bytes) => {
    const text = await sendRaw(egress.door, bytes, 1000);
    expect(text).toMatch(/^HTTP\/1\.1 400 [\s\S]*egress: bad-(request|authority)/);
    expect(plain.seen).toEqual([]);
    expect((await egress.audit()).at(-1)?.verdict).toBe("deny");
  });

  it("never forwards bytes that follow a request as they are", async () => {
    const smuggled = `GET http://${PLAIN}/second HTTP/1.1\r\nHost: ${PLAIN}\r\nConnection: close\r\n\r\n`;
    const text = await sendRaw(egress.door, `${head("Content-Length: 5")}hello${smuggled}`);
    expect(text.match(/HTTP\/1\.1 200/g)).toHaveLength(2);
    const both = new Set(["/", "/second"]);
    expect(new Set(plain.seen.map((it) => it.url))).toEqual(both);
    expect(new Set((await egress.audit()).map((it) => it.path))).toEqual(both);
  });

  it("strips what belongs to the connection, and what Connection names", async () => {
    const lines = [
      "Connection: X-Hop, close",
      "X-Hop: 1",
      "TE: trailers",
      "Proxy-Authorization: Basic eA==",
      "Keep-Alive: 5",
    ];
    await sendRaw(egress.door, head(...lines, "X-End: 2", "Content-Length: 0"));
    const names = plain.seen[0]?.rawHeaders.filter((_, index) => index % 2 === 0);
    expect(names).toEqual(["Host", "X-End", "Content-Length", "Connection"]);
  });

  it("does not reach the upstream with CONNECT inside a tunnel", async () => {
    const socket = await openTunnel(egress.door, `${HOST}:443`);
    const text = await sendRaw(socket, `CONNECT evil.test:443 HTTP/1.1\r\nHost: evil.test\r\n\r\n`);
    expect(text).toMatch(/^HTTP\/1\.1 400 /);
  });
});

describe("upgrades", () => {
  it.each([
    ["websocket", 426],
    ["h2c", 403],
  ])("answers %s with %i at once", async (protocol, status) => {
    const socket = await openTunnel(egress.door, `${HOST}:443`);
    const headers = {
      connection: "Upgrade",
      upgrade: protocol,
      "sec-websocket-key": "x",
      "sec-websocket-version": "13",
    };
    const answer = await ask(socket, HOST, { headers });
    expect([answer.status, answer.body]).toEqual([
      status,
      expect.stringMatching(/^egress: upgrade-refused: /),
    ]);
    expect(upstream.connections).toBe(0);
    socket.destroy();
  });
});

describe("requests", () => {
  it("asks for the body only after the request was allowed", async () => {
    const lines = ["Expect: 100-continue", "Content-Length: 5", "Connection: close"];
    const refused = await sendRaw(egress.door, head(...lines).replaceAll(PLAIN, "evil.test"));
    expect(refused).toMatch(/^HTTP\/1\.1 403 /);
    const socket = net.connect(egress.door);
    const first = new Promise<string>((resolve) =>
      socket.once("data", (chunk: Buffer) => resolve(chunk.toString())),
    );
    socket.write(head(...lines));
    expect(await first).toMatch(/^HTTP\/1\.1 100 /);
    expect(await sendRaw(socket, "hello")).toMatch(/HTTP\/1\.1 200 /);
    expect(plain.seen[0]?.body.toString()).toBe("hello");
    expect(plain.seen[0]?.headers.expect).toBeUndefined();
  });

  it("carries HEAD, 204 and repeated headers", async () => {
    upstream.handler = (request, response) => {
      if (request.method === "HEAD") response.writeHead(200, { "content-length": "1234" });
      else response.writeHead(204, ["set-cookie", "a=1", "set-cookie", "b=2"]);
      response.end();
    };
    const headAnswer = await askThrough(egress.door, HOST, { method: "HEAD" });
    expect([headAnswer.status, headAnswer.headers["content-length"], headAnswer.body]).toEqual([
      200,
      "1234",
      "",
    ]);
    const empty = await askThrough(egress.door, HOST, { method: "DELETE" });
    expect([empty.status, empty.headers["set-cookie"]]).toEqual([204, ["a=1", "b=2"]]);
  });

  it("uses one upstream connection for many requests, and a new one when it was closed", async () => {
    const socket = await openTunnel(egress.door, `${HOST}:443`);
    for (let i = 0; i < 5; i += 1) expect((await ask(socket, HOST)).status).toBe(200);
    expect(upstream.connections).toBe(1);
    upstream.server.closeAllConnections();
    expect((await ask(socket, HOST, { method: "POST", body: "again" })).status).toBe(200);
    expect(upstream.connections).toBe(2);
    socket.destroy();
  });

  it("ends the upstream's request when the guest goes away", async () => {
    const gone = new Promise<void>((resolve) => {
      upstream.handler = (_request, response) => {
        response.on("close", () => resolve());
        response.write("never ends");
      };
    });
    const socket = await openTunnel(egress.door, `${HOST}:443`);
    socket.write(`GET / HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`);
    socket.once("data", () => socket.destroy());
    await gone;
  });

  it("cuts the answer off where the upstream cut it off", async () => {
    upstream.handler = (_request, response) => {
      response.writeHead(200, { "content-length": "100" });
      response.write("half", () => response.destroy());
    };
    await expect(askThrough(egress.door, HOST)).rejects.toThrow(/aborted|hang up|terminated/i);
  });
});

describe("streaming", () => {
  it("hands on each event of a stream when it comes", async () => {
    let send = (_text: string): void => undefined;
    upstream.handler = (_request, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.flushHeaders();
      send = (text) => void response.write(text);
    };
    const socket = await openTunnel(egress.door, `${HOST}:443`);
    const response = await new Promise<http.IncomingMessage>((resolve) => {
      http.get({ createConnection: () => socket, headers: { host: HOST } }, resolve);
    });
    for (const event of ["data: one\n\n", "data: two\n\n", `data: sk-rea`]) {
      const next = new Promise<string>((resolve) =>
        response.once("data", (chunk: Buffer) => resolve(chunk.toString())),
      );
      send(event);
      // Only a tail that could become the token is held back.
      expect(await next).toBe(event.startsWith("data: sk") ? "data: " : event);
    }
    socket.destroy();
  });

  it.each(["masked", "unmasked"])("carries 20 MiB down with bounded memory, %s", async (kind) => {
    const source = kind === "masked" ? upstream : plain;
    const chunk = Buffer.alloc(64 * 1024, "abcdefghijklmnop");
    let pending = 0;
    source.handler = (_request, response) => {
      response.writeHead(200, { "content-length": String(20 * MIB) });
      let left = 320;
      const more = (): void => {
        while (left > 0) {
          left -= 1;
          if (!response.write(chunk)) break;
        }
        pending = left;
        if (left === 0) response.end();
        else response.once("drain", more);
      };
      more();
    };
    const socket =
      kind === "masked" ? await openTunnel(egress.door, `${HOST}:443`) : net.connect(egress.door);
    const path = kind === "masked" ? "/" : `http://${PLAIN}/`;
    const host = kind === "masked" ? HOST : PLAIN;
    const response = await new Promise<http.IncomingMessage>((resolve) => {
      http.get({ createConnection: () => socket, path, headers: { host } }, resolve);
    });
    response.pause();
    // Nobody reads, so the upstream must come to a halt half-way.
    await expect.poll(() => socket.readableLength + response.readableLength).toBeGreaterThan(0);
    expect(pending).toBeGreaterThan(100);
    const answer = collect(response);
    response.resume();
    expect((await answer).bytes).toBe(20 * MIB);
    socket.destroy();
  });

  it.each(["length", "chunked"])("carries 20 MiB up under the scanner, %s", async (kind) => {
    const body = Buffer.alloc(20 * MIB, "The quick brown fox jumps over the lazy dog. ");
    const socket = await openTunnel(egress.door, `${HOST}:443`);
    const before = process.memoryUsage().rss;
    const started = performance.now();
    const answer = await new Promise<http.IncomingMessage>((resolve, reject) => {
      const headers = {
        host: HOST,
        authorization: `Bearer ${PLACEHOLDER}`,
        ...(kind === "length" && { "content-length": body.length }),
      };
      const request = http.request(
        { createConnection: () => socket, method: "POST", headers },
        resolve,
      );
      request.on("error", reject);
      for (let at = 0; at < body.length; at += MIB) request.write(body.subarray(at, at + MIB));
      request.end();
    });
    expect((await collect(answer)).status).toBe(200);
    expect(upstream.bytes).toBe(20 * MIB);
    expect(process.memoryUsage().rss - before).toBeLessThan(200 * MIB);
    expect(performance.now() - started).toBeLessThan(20_000);
    socket.destroy();
  });
});

describe("limits", () => {
  it("serves others while connections dawdle in header, handshake and body", async () => {
    const slow = Array.from({ length: 40 }, (_, index) => {
      const socket = net.connect(egress.door);
      socket.on("error", () => undefined);
      if (index % 3 === 0) socket.write("GET http://plain.exam");
      else if (index % 3 === 1)
        socket.write(`CONNECT ${HOST}:443 HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`);
      else socket.write(`${head("Content-Length: 100")}half`);
      return socket;
    });
    const started = performance.now();
    expect((await askThrough(egress.door, HOST)).status).toBe(200);
    expect(performance.now() - started).toBeLessThan(2000);
    for (const socket of slow) socket.destroy();
  });

  it("gives up a handshake that does not come", async () => {
    const socket = net.connect(egress.door);
    const started = performance.now();
    const text = await sendRaw(
      socket,
      `CONNECT ${HOST}:443 HTTP/1.1\r\nHost: ${HOST}\r\n\r\n\x16\x03\x01`,
      15_000,
    );
    expect(text).toMatch(/^HTTP\/1\.1 200 /);
    expect(performance.now() - started).toBeGreaterThan(9000);
    expect(performance.now() - started).toBeLessThan(12_000);
  });

  it.each(["nothing", "half a tunnel", "a tunnel", "a used tunnel"])(
    "stops at once with %s open",
    async (what) => {
      if (what === "half a tunnel") {
        const socket = net.connect(egress.door);
        const answered = new Promise((resolve) => socket.once("data", resolve));
        socket.write(`CONNECT ${HOST}:443 HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`);
        await answered;
      } else if (what !== "nothing") {
        const socket = await openTunnel(egress.door, `${HOST}:443`);
        socket.on("error", () => undefined);
        if (what === "a used tunnel") await ask(socket, HOST);
      }
      const started = performance.now();
      await egress.daemon.stop(5000);
      expect(performance.now() - started).toBeLessThan(1000);
    },
  );

  it("finishes an answer before it stops", async () => {
    const begun = new Promise<(text: string) => void>((resolve) => {
      upstream.handler = (_request, response) => {
        response.write("first ");
        resolve((text) => response.end(text));
      };
    });
    const answer = askThrough(egress.door, HOST);
    const finish = await begun;
    const stopped = egress.daemon.stop(5000);
    finish("last");
    expect((await answer).body).toBe("first last");
    await stopped;
  });

  it("stops within its deadline although connections are open", async () => {
    const socket = await openTunnel(egress.door, `${HOST}:443`);
    upstream.handler = () => undefined;
    socket.on("error", () => undefined);
    socket.write(`GET / HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`);
    const started = performance.now();
    await egress.daemon.stop(300);
    expect(performance.now() - started).toBeLessThan(1500);
    await expect(openTunnel(egress.door, `${HOST}:443`)).rejects.toThrow(/ENOENT|ECONNREFUSED/);
  });
});

describe("an upstream proxy", () => {
  it("is asked for a tunnel to the canonical name, and never sees the credential", async () => {
    const asked: string[] = [];
    const proxy = http.createServer();
    proxy.on("connect", (request: http.IncomingMessage, socket: net.Socket) => {
      asked.push(`${request.url ?? ""} ${request.rawHeaders.join(" ")}`);
      const to = net.connect(upstream.port, "127.0.0.1", () => {
        socket.write("HTTP/1.1 200 OK\r\n\r\n");
        to.pipe(socket).pipe(to);
      });
    });
    await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
    const { port } = proxy.address() as net.AddressInfo;
    await using behind = await startEgress({
      routes: [route(HOST, { auth: bearer }), route("inner.example.test")],
      config: { upstreamProxy: `http://127.0.0.1:${port}` },
      lookup: (name) =>
        name === HOST ? Promise.reject(new Error("unknown")) : Promise.resolve(["10.0.0.1"]),
    });
    expect((await askThrough(behind.door, HOST)).status).toBe(200);
    expect(upstream.seen[0]?.headers.authorization).toBe(`Bearer ${TOKEN}`);
    expect(asked).toEqual([`${HOST}:443 Host ${HOST}:443`]);
    expect((await askThrough(behind.door, "inner.example.test")).body).toMatch(
      /^egress: address-forbidden/,
    );
    expect((await askThrough(behind.door, HOST, { path: `/${SCANNED}` })).status).toBe(403);
    expect(asked).toHaveLength(1);
    proxy.closeAllConnections();
    proxy.close();
  });
});
