// What one connection may cost the others: turns of the loop, sessions, streams.
import { once } from "node:events";
import http2 from "node:http2";
import type net from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
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

describe("a body that unfolds", () => {
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
