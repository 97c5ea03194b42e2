// What one connection may cost the others: turns of the loop, sessions, streams.

import { randomBytes } from "node:crypto";
import { once } from "node:events";
import http2 from "node:http2";
import type net from "node:net";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { MAX_BUFFERED_BYTES } from "../../src/sidecars/egress/body.ts";
import { MAX_DECODED_BYTES } from "../../src/sidecars/egress/decode-body.ts";
import { MAX_SOCKETS_PER_AUTHORITY } from "../../src/sidecars/egress/endpoint.ts";
import { BODY_IDLE_MS } from "../../src/sidecars/egress/http1/guest-connection.ts";
import {
  ask,
  askThrough,
  type Harness,
  openTunnel,
  route,
  startEgress,
  Upstream,
} from "./egress-support/harness.ts";

const HOST = "api.example.test";

let upstream: Upstream;
let egress: Harness;
const sockets = new Set<net.Socket>();

beforeEach(async () => {
  upstream = await new Upstream(HOST).listen();
  const resolve = { [HOST]: { address: "127.0.0.1", port: upstream.port } };
  egress = await startEgress({ routes: [route(HOST)], resolve });
});

afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  sockets.clear();
  await egress[Symbol.asyncDispose]();
  await upstream.close();
});

async function openBoth(): Promise<Awaited<ReturnType<typeof openTunnel>>> {
  const socket = await openTunnel(egress.door, `${HOST}:443`, HOST, ["h2", "http/1.1"]);
  socket.on("error", () => undefined);
  sockets.add(socket);
  return socket;
}

async function openSession(): Promise<http2.ClientHttp2Session> {
  const socket = await openBoth();
  expect(socket.alpnProtocol).toBe("h2");
  const session = http2.connect(`https://${HOST}`, { createConnection: () => socket });
  session.on("error", () => undefined);
  await once(session, "remoteSettings");
  return session;
}

/** Answers of the upstream that wait for their release. */
function holdAnswers(): () => void {
  const held: (() => void)[] = [];
  upstream.handler = (request, response) => {
    request.on("end", () => held.push(() => response.end("late")));
  };
  return () => {
    upstream.handler = (request, response) => request.on("end", () => response.end("late"));
    for (const answer of held) answer();
  };
}

describe("a body that unfolds", () => {
  it("counts with all that it unfolds to, until its exchange is over", async () => {
    const release = holdAnswers();
    const plain = Buffer.concat([randomBytes(90_000), Buffer.alloc(MAX_DECODED_BYTES - 200_000)]);
    const post = { method: "POST", body: gzipSync(plain), headers: { "content-encoding": "gzip" } };
    const statuses: number[] = [];
    const fit = MAX_BUFFERED_BYTES / MAX_DECODED_BYTES;
    const all = Array.from({ length: fit + 2 }, async () => {
      statuses.push((await askThrough(egress.door, HOST, post)).status);
    });
    await expect
      .poll(() => statuses.length + upstream.seen.length, { timeout: 20_000 })
      .toBe(all.length);
    expect(new Set(statuses)).toEqual(new Set([503]));
    expect(upstream.seen.length).toBeLessThanOrEqual(fit);
    release();
    await Promise.all(all);
    expect(statuses.filter((it) => it === 200)).toHaveLength(upstream.seen.length);
    expect((await askThrough(egress.door, HOST, post)).status).toBe(200);
  });

  it("leaves the loop to others while it is judged", async () => {
    const unit = "%25252541 \\\\\\\\u0041 &#38;#38;#38;#65; é ";
    let isJudged = false;
    const body = Buffer.from(unit.repeat(3000));
    const posted = askThrough(egress.door, HOST, { method: "POST", body }).then((answer) => {
      isJudged = true;
      return answer;
    });
    const other = await openTunnel(egress.door, `${HOST}:443`, HOST);
    let served = 0;
    while (!isJudged && served < 20) {
      expect((await ask(other, HOST)).status).toBe(200);
      if (!isJudged) served += 1;
    }
    other.destroy();
    expect(served).toBe(20);
    expect((await posted).status).toBe(200);
  });
});

describe("small bodies without a length", () => {
  it("hold no more than they are while their answers are slow", async () => {
    const count = MAX_SOCKETS_PER_AUTHORITY + 16;
    const release = holdAnswers();
    const tunnels = await Promise.all(
      Array.from({ length: count }, () => openTunnel(egress.door, `${HOST}:443`, HOST)),
    );
    const headers = { host: HOST, "transfer-encoding": "chunked" };
    const all = tunnels.map((socket) => ask(socket, HOST, { method: "POST", body: "x", headers }));
    await expect
      .poll(() => upstream.seen.length, { timeout: 10_000 })
      .toBe(MAX_SOCKETS_PER_AUTHORITY);
    release();
    expect((await Promise.all(all)).map(({ status }) => status)).toEqual(Array(count).fill(200));
    for (const socket of tunnels) socket.destroy();
  });
});

describe("a stream without a body", () => {
  afterEach(() => vi.useRealTimers());

  it("waits for its answer longer than bodies may be silent", async () => {
    vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
    const release = holdAnswers();
    const session = await openSession();
    const stream = session.request({ ":path": "/", ":authority": HOST });
    stream.on("error", () => undefined);
    const answered = new Promise((resolve) => {
      stream.once("response", (head) => resolve(head[":status"]));
      stream.once("close", () => resolve("closed"));
    });
    await expect.poll(() => upstream.seen.length, { timeout: 10_000 }).toBe(1);
    vi.advanceTimersByTime(BODY_IDLE_MS * 5);
    release();
    expect(await answered).toBe(200);
    session.destroy();
  });
});

describe("sessions of HTTP/2", () => {
  it("are 64 at a time; who comes after them speaks HTTP/1.1", async () => {
    const all = await Promise.all(Array.from({ length: 64 }, openBoth));
    expect(new Set(all.map((it) => it.alpnProtocol))).toEqual(new Set(["h2"]));
    const next = await openBoth();
    expect(next.alpnProtocol).toBe("http/1.1");
    expect((await ask(next, HOST)).status).toBe(200);
    all[0]?.destroy();
    await expect.poll(async () => (await openBoth()).alpnProtocol).toBe("h2");
  });

  it("have 512 streams together, and refuse more so that they may be sent again", async () => {
    const sessions = await Promise.all(Array.from({ length: 6 }, openSession));
    const codes: number[] = [];
    const request = { ":path": "/", ":authority": HOST, ":method": "POST", "content-length": 9 };
    const streams = sessions.flatMap((session) =>
      Array.from({ length: 90 }, () => {
        const stream = session.request(request);
        stream.on("error", () => undefined);
        stream.on("close", () => codes.push(stream.rstCode));
        stream.write("half");
        return stream;
      }),
    );
    const { NGHTTP2_REFUSED_STREAM } = http2.constants;
    await expect.poll(() => codes.length).toBe(6 * 90 - 512);
    expect(new Set(codes)).toEqual(new Set([NGHTTP2_REFUSED_STREAM]));
    for (const stream of streams) stream.close(http2.constants.NGHTTP2_CANCEL);
    const [session] = sessions;
    const again = async (): Promise<unknown> => {
      const stream = session?.request({ ":path": "/again", ":authority": HOST });
      stream?.on("error", () => undefined).resume();
      const [head] = stream === undefined ? [] : ((await once(stream, "response")) as unknown[]);
      return head;
    };
    expect(await again()).toMatchObject({ ":status": 200 });
  });

  it("let a stream send 64 KiB ahead", async () => {
    const session = await openSession();
    expect(session.remoteSettings.initialWindowSize).toBe(65_536);
  });
});
