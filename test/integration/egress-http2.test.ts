// Egress as an HTTP/2 implementation: streams side by side, each judged by itself, over HTTP/2 or HTTP/1.1 to the upstream.
import { once } from "node:events";
import http2 from "node:http2";
import type net from "node:net";
import type tls from "node:tls";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  bearer,
  type Harness,
  leafFor,
  openTunnel,
  PLACEHOLDER,
  route,
  SCANNED,
  startEgress,
  TOKEN,
  Upstream,
} from "./egress-support/harness.ts";

const HOST = "api.example.test";
const OLD = "old.example.test";
const MIB = 1024 * 1024;

/** An upstream that speaks HTTP/2 only. */
class Upstream2 {
  readonly seen: { path: string; headers: http2.IncomingHttpHeaders; body: Buffer }[] = [];
  sessions = 0;
  resets = 0;
  readonly server: http2.Http2SecureServer;
  handler = (stream: http2.ServerHttp2Stream, _headers: http2.IncomingHttpHeaders): void => {
    stream.respond({ ":status": 200, "content-type": "text/plain" });
    stream.end("hello over h2\n");
  };
  port = 0;
  readonly #open = new Set<http2.ServerHttp2Session>();

  constructor(settings: http2.Settings = {}) {
    this.server = http2.createSecureServer({ ...leafFor(HOST), allowHTTP1: false, settings });
  }

  async listen(): Promise<this> {
    this.server.on("session", (session) => {
      this.sessions += 1;
      this.#open.add(session);
      session.on("error", () => undefined);
    });
    this.server.on("stream", (stream, headers) => {
      const chunks: Buffer[] = [];
      stream.on("error", () => undefined);
      stream.on("aborted", () => (this.resets += 1));
      stream.on("data", (chunk: Buffer) => chunks.push(chunk));
      stream.on("end", () => {
        // What was reset ends, too, and never arrived.
        if (stream.destroyed) return;
        this.seen.push({ path: headers[":path"] ?? "", headers, body: Buffer.concat(chunks) });
        this.handler(stream, headers);
      });
    });
    this.server.listen(0, "127.0.0.1");
    await once(this.server, "listening");
    this.port = (this.server.address() as net.AddressInfo).port;
    return this;
  }

  async close(): Promise<void> {
    for (const session of this.#open) session.destroy();
    this.server.close();
    await once(this.server, "close");
  }
}

let upstream: Upstream2;
let old: Upstream;
let egress: Harness;

beforeEach(async () => {
  upstream = await new Upstream2().listen();
  old = await new Upstream(OLD).listen();
  egress = await startEgress({
    routes: [route(HOST, { auth: bearer }), route(OLD)],
    resolve: {
      [HOST]: { address: "127.0.0.1", port: upstream.port },
      [OLD]: { address: "127.0.0.1", port: old.port },
    },
  });
});

afterEach(async () => {
  await egress[Symbol.asyncDispose]();
  await upstream.close();
  await old.close();
});

async function openSession(host = HOST): Promise<http2.ClientHttp2Session> {
  const socket: tls.TLSSocket = await openTunnel(egress.door, `${host}:443`, host, ["h2"]);
  expect(socket.alpnProtocol).toBe("h2");
  const session = http2.connect(`https://${host}`, { createConnection: () => socket });
  session.on("error", () => undefined);
  return session;
}

/** Leads the host to another upstream. */
async function resolveTo(port: number): Promise<void> {
  const { config, daemon } = egress;
  const resolve = { ...config.policy.resolve, [HOST]: { address: "127.0.0.1", port } };
  const next = { ...config, policy: { ...config.policy, resolve } };
  expect(await daemon.reload(next)).toEqual({ ok: true });
}

interface Answer2 {
  readonly status: number;
  readonly headers: http2.IncomingHttpHeaders;
  readonly trailers: http2.IncomingHttpHeaders;
  readonly body: string;
}

function ask2(
  session: http2.ClientHttp2Session,
  headers: http2.OutgoingHttpHeaders,
  body?: string | Buffer,
): Promise<Answer2> {
  return new Promise((resolve, reject) => {
    const stream = session.request(headers, { endStream: body === undefined });
    const chunks: Buffer[] = [];
    let head: http2.IncomingHttpHeaders = {};
    let trailers: http2.IncomingHttpHeaders = {};
    stream.on("response", (it) => (head = it));
    stream.on("trailers", (it) => (trailers = it));
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.on("error", reject);
    stream.on("end", () =>
      resolve({
        status: Number(head[":status"] ?? 0),
        headers: head,
        trailers,
        body: Buffer.concat(chunks).toString(),
      }),
    );
    if (body !== undefined) stream.end(body);
  });
}

const get = (path: string, more: http2.OutgoingHttpHeaders = {}): http2.OutgoingHttpHeaders => ({
  ":path": path,
  ":authority": HOST,
  ...more,
});
const post = (path: string, more: http2.OutgoingHttpHeaders = {}): http2.OutgoingHttpHeaders => ({
  ...get(path, more),
  ":method": "POST",
});

describe("HTTP/2", () => {
  it("is spoken to an upstream that speaks it, with the credential put in", async () => {
    const session = await openSession();
    const headers = { authorization: `Bearer ${PLACEHOLDER}`, cookie: "a=1" };
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, index) => ask2(session, get(`/${index}?q=1`, headers))),
    );
    expect(answers.map(({ status, body }) => [status, body])).toEqual(
      answers.map(() => [200, "hello over h2\n"]),
    );
    expect(new Set(upstream.seen.map(({ path }) => path)).size).toBe(20);
    expect(upstream.seen[0]?.headers).toMatchObject({
      ":authority": HOST,
      ":scheme": "https",
      authorization: `Bearer ${TOKEN}`,
      cookie: "a=1",
    });
    expect(upstream.sessions).toBe(1);
    session.close();
  });

  it.each([30, 1])("fits a burst into the %d streams that an upstream takes", async (most) => {
    upstream.server.updateSettings({ maxConcurrentStreams: most });
    const session = await openSession();
    const paths = Array.from({ length: 80 }, (_, index) => `/${index}`);
    const answers = await Promise.all(paths.map((path) => ask2(session, get(path))));
    expect(answers.map(({ status }) => status)).toEqual(paths.map(() => 200));
    expect(upstream.seen.map(({ path }) => path).toSorted()).toEqual(paths.toSorted());
    session.close();
  });

  it("meets HTTP/1.1 where the upstream speaks nothing else", async () => {
    const session = await openSession(OLD);
    const request = { ":path": "/x", ":authority": OLD, cookie: ["a=1", "b=2"] };
    const answers = await Promise.all([1, 2, 3].map(() => ask2(session, request)));
    expect(answers.map(({ status, body }) => [status, body])).toEqual(
      answers.map(() => [200, "hello from upstream\n"]),
    );
    expect(old.seen[0]?.headers).toMatchObject({ host: OLD, cookie: "a=1; b=2" });
    const sent = await ask2(session, { ...request, ":method": "POST" }, "some body");
    expect(sent.status).toBe(200);
    expect(old.seen.at(-1)?.body.toString()).toBe("some body");
    session.close();
  });

  it("waits for a stream where an upstream takes few, and gets the next that is free", async () => {
    const slow = await new Upstream2({ maxConcurrentStreams: 1 }).listen();
    const held: http2.ServerHttp2Stream[] = [];
    slow.handler = (stream) => void held.push(stream);
    await resolveTo(slow.port);
    const session = await openSession();
    const asked: Promise<Answer2>[] = [];
    while (asked.length < 64) {
      asked.push(ask2(session, { ":path": "/" }));
      await expect.poll(() => held.length, { interval: 1 }).toBe(asked.length);
    }
    expect(slow.sessions).toBe(64);
    while (asked.length < 70) asked.push(ask2(session, { ":path": "/late" }));
    const late = async (): Promise<number> =>
      (await egress.audit()).filter((it) => it.path === "/late").length;
    await expect.poll(late).toBe(6);
    slow.handler = (stream) => {
      stream.respond({ ":status": 200 });
      stream.end();
    };
    for (const stream of held) slow.handler(stream, {});
    expect(new Set((await Promise.all(asked)).map((it) => it.status))).toEqual(new Set([200]));
    session.destroy();
    await slow.close();
  });

  it("is answered where the upstream ends its session before it takes a request", async () => {
    const gone = await new Upstream2().listen();
    gone.server.on("session", (session) => session.close());
    await resolveTo(gone.port);
    const session = await openSession();
    expect((await ask2(session, { ":path": "/" })).status).toBe(502);
    expect((await egress.audit()).at(-1)).toMatchObject({ reason: "upstream-failed" });
    session.destroy();
    await gone.close();
  });

  it("is not offered to an upstream for a guest that speaks HTTP/1.1", async () => {
    const socket = await openTunnel(egress.door, `${HOST}:443`);
    expect(socket.alpnProtocol).toBe("http/1.1");
    socket.destroy();
  });

  it("keeps a value that was put in out of the names of an answer", async () => {
    upstream.handler = (stream) => {
      stream.additionalHeaders({ ":status": 103, [`x-early-${TOKEN}`]: "1", link: "</a>" });
      stream.respond({ ":status": 200, [`x-${TOKEN}`]: "1", "x-kept": "yes" });
      stream.end("ok");
    };
    const session = await openSession();
    const interim: http2.IncomingHttpHeaders[] = [];
    const stream = session.request(get("/"));
    stream.on("headers", (headers) => interim.push(headers));
    const [head] = (await once(stream, "response")) as [http2.IncomingHttpHeaders];
    stream.resume();
    await once(stream, "end");
    expect(head).toMatchObject({ ":status": 200, "x-kept": "yes" });
    expect(interim).toMatchObject([{ ":status": 103, link: "</a>" }]);
    expect(JSON.stringify([head, interim])).not.toContain(TOKEN);
    session.close();
  });

  it("does not take an answer for whole that was reset, even without an error", async () => {
    upstream.handler = (stream) => {
      stream.respond({ ":status": 200 });
      stream.write("only half", () => stream.close(http2.constants.NGHTTP2_NO_ERROR));
      stream.end = () => stream;
    };
    const session = await openSession();
    const stream = session.request(get("/"));
    let text = "";
    stream.on("data", (chunk: Buffer) => (text += chunk.toString()));
    stream.on("error", () => undefined);
    await new Promise((resolve) => stream.once("close", resolve));
    expect([text, stream.rstCode === 0]).toEqual(["only half", false]);
    session.close();
  });

  it("judges each stream by itself", async () => {
    const session = await openSession();
    const [fine, foreign, other, found, port] = await Promise.all([
      ask2(session, get("/fine")),
      ask2(session, get("/", { authorization: "Bearer sk-attacker-0000" })),
      ask2(session, get("/", { ":authority": "evil.example.test" })),
      ask2(session, post("/"), `a ${SCANNED} b`),
      ask2(session, get("/", { ":authority": `${HOST}:8443` })),
    ]);
    expect(fine?.status).toBe(200);
    expect([foreign?.status, foreign?.body]).toEqual([
      403,
      expect.stringMatching(/^egress: foreign-credential/),
    ]);
    expect([other?.status, other?.body]).toEqual([
      403,
      expect.stringMatching(/^egress: authority-mismatch/),
    ]);
    expect([found?.status, found?.body]).toEqual([
      403,
      expect.stringMatching(/^egress: secret-found/),
    ]);
    expect([port?.status, port?.body]).toEqual([
      403,
      expect.stringMatching(/^egress: authority-mismatch/),
    ]);
    expect(upstream.seen.map(({ path }) => path)).toEqual(["/fine"]);
    const reasons = (await egress.audit()).map(({ reason }) => reason);
    expect(reasons).toEqual(
      expect.arrayContaining(["foreign-credential", "authority-mismatch", "secret-found"]),
    );
    session.close();
  });

  it("refuses another Host beside the authority, and a path that is not normal", async () => {
    const session = await openSession();
    const twice = await ask2(session, get("/", { host: "evil.example.test" }));
    expect(twice.body).toMatch(/^egress: authority-mismatch/);
    const dots = await ask2(session, get("/a/../b"));
    expect([dots.status, dots.body]).toEqual([400, expect.stringMatching(/^egress: bad-request/)]);
    expect((await ask2(session, get("/after"))).status).toBe(200);
    session.close();
  });

  it("carries trailers, interim answers and HEAD", async () => {
    upstream.handler = (stream, headers) => {
      if (headers[":method"] === "HEAD") {
        stream.respond({ ":status": 200, "content-length": "77" });
        stream.end();
        return;
      }
      stream.additionalHeaders({ ":status": 103, link: "</x>; rel=preload" });
      stream.respond(
        { ":status": 200, "content-type": "application/grpc" },
        { waitForTrailers: true },
      );
      stream.on("wantTrailers", () =>
        stream.sendTrailers({ "grpc-status": "0", "x-evil": "1", "grpc-message": TOKEN }),
      );
      stream.end("data");
    };
    const session = await openSession();
    const answer = await ask2(session, post("/", { te: "trailers" }), "x");
    expect(answer.trailers["grpc-status"]).toBe("0");
    expect(answer.trailers["grpc-message"]).toBe("*".repeat(TOKEN.length));
    expect(answer.trailers["x-evil"]).toBeUndefined();
    expect(upstream.seen[0]?.headers["te"]).toBe("trailers");
    const head = await ask2(session, get("/", { ":method": "HEAD" }));
    expect([head.status, head.headers["content-length"]]).toEqual([200, "77"]);
    session.close();
  });

  it("carries large bodies both ways at the pace of the slower side", async () => {
    upstream.handler = (stream) => {
      stream.respond({ ":status": 200 });
      stream.end(Buffer.alloc(8 * MIB, "b"));
    };
    const session = await openSession();
    const answer = await ask2(session, post("/"), Buffer.alloc(8 * MIB, "The quick brown fox. "));
    expect([answer.status, answer.body.length]).toEqual([200, 8 * MIB]);
    expect(upstream.seen[0]?.body.length).toBe(8 * MIB);
    session.close();
  });

  it("cuts a long upload off before its secret is whole at the upstream", async () => {
    const session = await openSession();
    const body = Buffer.concat([Buffer.alloc(3 * MIB, "a"), Buffer.from(SCANNED), Buffer.alloc(9)]);
    const answer = await ask2(session, post("/"), body);
    expect([answer.status, answer.body]).toEqual([
      403,
      expect.stringMatching(/^egress: secret-found/),
    ]);
    expect(upstream.seen).toEqual([]);
    expect(upstream.resets).toBe(1);
    session.close();
  });

  it("breaks an upload off without an end, also when nothing of it waits to be sent", async () => {
    const session = await openSession();
    let arrived = 0;
    upstream.server.on("stream", (stream) => {
      stream.on("data", (chunk: Buffer) => (arrived += chunk.length));
    });
    const stream = session.request(post("/"));
    stream.on("error", () => undefined);
    const answered = once(stream, "response");
    stream.write(Buffer.alloc(2 * MIB, "a"));
    await expect.poll(() => arrived, { timeout: 5000 }).toBeGreaterThan(2 * MIB - 1024);
    stream.write(`${SCANNED} and what is behind it`);
    const [head] = (await answered) as [http2.IncomingHttpHeaders];
    expect(head[":status"]).toBe(403);
    await expect.poll(() => upstream.resets).toBe(1);
    expect(upstream.seen).toEqual([]);
    session.close();
  });

  it("resets the upstream's stream when the guest resets its own, and keeps the session", async () => {
    const begun = new Promise<http2.ServerHttp2Stream>((resolve) => {
      upstream.handler = (stream) => {
        stream.respond({ ":status": 200 });
        stream.write("never ends");
        resolve(stream);
      };
    });
    const session = await openSession();
    const stream = session.request(get("/"));
    stream.on("error", () => undefined);
    stream.once("data", () => stream.close(http2.constants.NGHTTP2_CANCEL));
    await once(await begun, "close");
    upstream.handler = (it) => {
      it.respond({ ":status": 200 });
      it.end();
    };
    expect((await ask2(session, get("/next"))).status).toBe(200);
    expect(upstream.sessions).toBe(1);
    session.close();
  });

  it("keeps extended CONNECT off and bounds streams", async () => {
    const session = await openSession();
    await once(session, "remoteSettings");
    expect(session.remoteSettings.enableConnectProtocol ?? false).toBe(false);
    expect(session.remoteSettings.maxConcurrentStreams).toBe(100);
    session.close();
  });

  it("ends a session that floods with resets, and serves others", async () => {
    const socket = await openTunnel(egress.door, `${HOST}:443`, HOST, ["h2"]);
    socket.on("error", () => undefined);
    socket.resume();
    const closed = once(socket, "close");
    socket.write(`PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n`);
    socket.write(frame(4, 0, 0, Buffer.alloc(0)));
    // GET, https, /, and the authority as a literal (RFC 7541).
    const fields = Buffer.concat([
      Buffer.from([0x82, 0x87, 0x84, 0x41, HOST.length]),
      Buffer.from(HOST),
    ]);
    for (let id = 1; id < 4000; id += 2) {
      socket.write(frame(1, 5, id, fields));
      socket.write(frame(3, 0, id, Buffer.from([0, 0, 0, 8])));
    }
    await closed;
    const other = await openSession();
    expect((await ask2(other, get("/other"))).status).toBe(200);
    other.close();
  });
});

function frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}
