// The two sides of HTTP/1.1 against peers that write bytes by hand: what an upstream may say, what a guest may do while it
// is answered, and what becomes of connections afterwards.
import { once } from "node:events";
import net from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  askThrough,
  type Harness,
  openTunnel,
  route,
  SCANNED,
  sendRaw,
  startEgress,
  Upstream,
} from "./egress-support/harness.ts";

const PLAIN = "plain.example.test";
const HOST = "api.example.test";

/** An upstream that answers each request with bytes of the test's choice. */
class RawUpstream {
  readonly heads: string[] = [];
  connections = 0;
  answer: (text: string, socket: net.Socket) => void = (_text, socket) =>
    void socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  readonly server = net.createServer((socket) => {
    this.connections += 1;
    let held = "";
    socket.on("error", () => undefined);
    socket.on("data", (chunk: Buffer) => {
      held += chunk.toString("latin1");
      for (let end = held.indexOf("\r\n\r\n"); end >= 0; end = held.indexOf("\r\n\r\n")) {
        const head = held.slice(0, end);
        held = held.slice(end + 4);
        this.heads.push(head);
        this.answer(head, socket);
      }
    });
  });

  get port(): number {
    const address = this.server.address();
    return typeof address === "object" && address !== null ? address.port : 0;
  }
}

let raw: RawUpstream;
let egress: Harness;

beforeEach(async () => {
  raw = new RawUpstream();
  raw.server.listen(0, "127.0.0.1");
  await once(raw.server, "listening");
  egress = await startEgress({
    routes: [route(PLAIN)],
    resolve: { [PLAIN]: { address: "127.0.0.1", port: raw.port } },
  });
});

afterEach(async () => {
  await egress[Symbol.asyncDispose]();
  raw.server.close();
});

const request = (path = "/", method = "GET", ...lines: string[]): string =>
  [`${method} http://${PLAIN}${path} HTTP/1.1`, `Host: ${PLAIN}`, ...lines, "", ""].join("\r\n");
const close = "Connection: close";
const says = (...parts: string[]): void => {
  raw.answer = (_text, socket) => void socket.write(parts.join(""));
};
const ask = (...lines: string[]): Promise<string> =>
  sendRaw(egress.door, request("/", "GET", close, ...lines));

describe("a connection that dies when it is used again", () => {
  it.each([
    ["GET", 2],
    ["POST", 1],
  ])("lets a %s be sent %d times", async (method, times) => {
    let isFirst = true;
    raw.answer = (text, socket) => {
      if (!text.includes("/second")) {
        socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        return;
      }
      if (!isFirst) socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
      else socket.destroy();
      isFirst = false;
    };
    await sendRaw(egress.door, request("/", "GET", close));
    const lines = method === "POST" ? ["Content-Length: 0", close] : [close];
    const answer = await sendRaw(egress.door, request("/second", method, ...lines));
    expect(answer).toMatch(times === 2 ? /^HTTP\/1\.1 200 / : /^HTTP\/1\.1 502 /);
    expect(raw.heads.filter((head) => head.includes("/second"))).toHaveLength(times);
  });
});

describe("an upstream's answer", () => {
  it.each([
    ["a length and chunks", "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
    ["two lengths", "Content-Length: 2\r\nContent-Length: 3\r\n\r\nokk"],
    ["one length twice", "Content-Length: 2\r\nContent-Length: 2\r\n\r\nok"],
    ["a signed length", "Content-Length: +2\r\n\r\nok"],
    ["gzip as transfer encoding", "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"],
    ["a folded header", "X: a\r\n b\r\nContent-Length: 2\r\n\r\nok"],
    ["bare line feeds", "X: a\nContent-Length: 2\n\nok"],
    ["a NUL", "X: a\0\r\nContent-Length: 2\r\n\r\nok"],
    ["a header block without end", `X: ${"a".repeat(70_000)}`],
  ])("is refused with %s", async (_name, rest) => {
    says("HTTP/1.1 200 OK\r\n", rest);
    const text = await ask();
    expect(text).toMatch(/^HTTP\/1\.1 502 [^]*egress: upstream-failed: /);
    expect((await egress.audit()).at(-1)).toMatchObject({ kind: "response", verdict: "deny" });
  });

  it.each([
    "ICY 200 OK\r\n\r\n",
    "HTTP/2 200\r\n\r\n",
    "HTTP/1.1 99 x\r\n\r\n",
    "\r\nHTTP/1.1 200 OK\r\n\r\n",
  ])("is refused that begins %j", async (text) => {
    says(text);
    expect(await ask()).toMatch(/^HTTP\/1\.1 502 /);
  });

  it("ends with its connection where it says no length, and that connection is not used again", async () => {
    raw.answer = (_text, socket) => void socket.end("HTTP/1.1 200 OK\r\nX: y\r\n\r\nto the end");
    expect(await ask()).toMatch(
      /Transfer-Encoding: chunked\r\n[^]*\r\n\r\na\r\nto the end\r\n0\r\n\r\n$/,
    );
    expect(await ask()).toContain("to the end");
    expect(raw.connections).toBe(2);
  });

  it("has no body after HEAD, 204 and 304, whatever it says", async () => {
    says("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n");
    const head = await sendRaw(egress.door, request("/", "HEAD", close));
    expect(head).toMatch(/Content-Length: 99\r\n[^]*\r\n\r\n$/);
    says("HTTP/1.1 204 No Content\r\n\r\n");
    expect(await ask()).toMatch(/^HTTP\/1\.1 204 [^]*\r\n\r\n$/);
    says('HTTP/1.1 304 Not Modified\r\nETag: "x"\r\nContent-Length: 7\r\n\r\n');
    expect(await ask()).toMatch(
      /^HTTP\/1\.1 304 [^]*ETag: "x"[^]*Content-Length: 7\r\n[^]*\r\n\r\n$/,
    );
    expect(raw.connections).toBe(1);
  });

  it("is told apart from bytes behind it, which cost the connection", async () => {
    says(
      "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
    );
    const socket = net.connect(egress.door);
    const both = sendRaw(socket, request("/a") + request("/b", "GET", close));
    expect(await both).not.toContain("evil");
    expect(raw.connections).toBe(2);
  });

  it("may be announced: early hints are passed on, 100 is not, and there is an end of them", async () => {
    says(
      "HTTP/1.1 100 Continue\r\n\r\n",
      "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\nAlt-Svc: h3\r\n\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    );
    const text = await ask();
    expect(text).toMatch(/^HTTP\/1\.1 103 Early Hints\r\nLink: <\/x>\r\n\r\nHTTP\/1\.1 200 /);
    says("HTTP/1.1 103 x\r\n\r\n".repeat(40));
    expect(await ask()).toContain("502");
    says("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nraw");
    expect(await ask()).toMatch(/^HTTP\/1\.1 502 /);
  });

  it("keeps the trailers that mean something there, for who asked for trailers", async () => {
    const body =
      "2\r\nok\r\n0\r\nContent-Digest: x\r\nSet-Cookie: evil=1\r\nContent-Length: 9\r\n\r\n";
    says(`HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${body}`);
    expect(await ask("TE: trailers")).toMatch(/\r\n0\r\nContent-Digest: x\r\n\r\n$/);
    expect(await ask()).toMatch(/\r\n0\r\n\r\n$/);
  });

  it("is cut off for the guest where its framing breaks", async () => {
    raw.answer = (_text, socket) => {
      socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", () =>
        setImmediate(() => socket.write("nonsense\r\n")),
      );
    };
    const text = await ask();
    expect(text).toMatch(/^HTTP\/1\.1 200 [^]*ok/);
    expect(text).not.toMatch(/0\r\n\r\n$/);
  });

  it("gets no line of its own into ours", async () => {
    says("HTTP/1.0 200\r\n\r\n");
    expect(await ask()).toMatch(/^HTTP\/1\.1 200 \r\n/);
  });
});

describe("a guest", () => {
  it("may ask in HTTP/1.0, and gets an answer that ends with the connection", async () => {
    says("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n");
    const text = await sendRaw(
      egress.door,
      `GET http://${PLAIN}/ HTTP/1.0\r\nHost: ${PLAIN}\r\nConnection: keep-alive\r\n\r\n`,
    );
    expect(text).toMatch(/^HTTP\/1\.1 200 OK\r\nConnection: close\r\n\r\nok$/);
  });

  it("may close its own direction and still get its answer", async () => {
    raw.answer = (_text, socket) => {
      setImmediate(() => socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
    };
    const socket = net.connect({ path: egress.door, allowHalfOpen: true });
    let text = "";
    socket.on("data", (chunk: Buffer) => (text += chunk.toString()));
    socket.end(request("/"));
    await once(socket, "close");
    expect(text).toMatch(/^HTTP\/1\.1 200 [^]*ok$/);
  });

  it("is answered one request at a time, in order, however many it sends", async () => {
    let open = 0;
    let most = 0;
    raw.answer = (text, socket) => {
      open += 1;
      most = Math.max(most, open);
      const path = /^GET (\S+)/.exec(text)?.[1] ?? "";
      setImmediate(() => {
        open -= 1;
        socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${path.length}\r\n\r\n${path}`);
      });
    };
    const paths = Array.from({ length: 50 }, (_, index) => `/${index}`);
    const all = paths.map((path, index) => request(path, "GET", ...(index === 49 ? [close] : [])));
    const text = await sendRaw(egress.door, all.join(""));
    expect([...text.matchAll(/\r\n\r\n(\/\d+)/g)].map((it) => it[1])).toEqual(paths);
    expect(most).toBe(1);
  });

  it.each([
    [
      "an unknown expectation",
      request("/", "POST", "Expect: a-miracle", "Content-Length: 1") + "x",
    ],
    ["too many header lines", request("/", "GET", ...Array<string>(300).fill("X: y"))],
    ["an empty line in front", `\r\n${request()}`],
    [
      "a body behind CONNECT",
      `CONNECT ${PLAIN}:443 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello`,
    ],
  ])("is refused with %s", async (_name, bytes) => {
    expect(await sendRaw(egress.door, bytes)).toMatch(/^HTTP\/1\.1 400 [^]*egress: bad-request: /);
    expect(raw.heads).toEqual([]);
  });

  it("is asked for its body only where it waits for that", async () => {
    const bytes = request("/", "POST", "Content-Length: 2", close);
    expect(await sendRaw(egress.door, `${bytes}ok`)).not.toContain("100 Continue");
  });

  it("keeps its connection when it is refused", async () => {
    const bytes = request(`/${SCANNED}`) + request("/fine", "GET", close);
    const text = await sendRaw(egress.door, bytes);
    expect(text.match(/HTTP\/1\.1 \d+/g)).toEqual(["HTTP/1.1 403", "HTTP/1.1 200"]);
    expect(raw.heads.map((it) => it.split(" ")[1])).toEqual(["/fine"]);
  });

  it("cannot hide a value in a part of a form", async () => {
    const hidden = SCANNED.split("")
      .map((it) => `=${Buffer.from(it).toString("hex")}`)
      .join("=\r\n");
    const body = `--b\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n${hidden}\r\n--b--\r\n`;
    const type = "Content-Type: multipart/form-data; boundary=b";
    const bytes = request("/", "POST", type, `Content-Length: ${body.length}`, close) + body;
    expect(await sendRaw(egress.door, bytes)).toMatch(/^HTTP\/1\.1 403 [^]*egress: secret-found: /);
    expect(raw.heads).toEqual([]);
  });

  it("loses the connection with bytes that are too many for what it asks", async () => {
    const upstream = await new Upstream(HOST).listen();
    await using secure = await startEgress({
      routes: [route(HOST)],
      resolve: { [HOST]: { address: "127.0.0.1", port: upstream.port } },
    });
    const socket = await openTunnel(secure.door, `${HOST}:443`);
    const text = await sendRaw(
      socket,
      `POST / HTTP/1.1\r\nHost: ${HOST}\r\nContent-Length: 2\r\n\r\nokGARBAGE\r\n\r\n`,
    );
    expect(text.match(/HTTP\/1\.1 \d+/g)).toEqual(["HTTP/1.1 200", "HTTP/1.1 400"]);
    expect(upstream.seen.map((it) => it.body.toString())).toEqual(["ok"]);
    expect((await askThrough(secure.door, HOST)).status).toBe(200);
    await upstream.close();
  });
});

describe("connections to one upstream", () => {
  it("are bounded, and everybody is served", async () => {
    let open = 0;
    let most = 0;
    raw.answer = (_text, socket) => {
      open += 1;
      most = Math.max(most, open);
      setImmediate(() => {
        open -= 1;
        socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
      });
    };
    const all = Array.from({ length: 150 }, (_, index) =>
      sendRaw(egress.door, request(`/${index}`, "GET", close), 10_000),
    );
    const texts = await Promise.all(all);
    expect(texts.filter((text) => text.startsWith("HTTP/1.1 200 "))).toHaveLength(150);
    expect(raw.connections).toBeLessThanOrEqual(64);
    expect(most).toBeLessThanOrEqual(64);
  });

  it("are opened anew where a kept one was closed meanwhile", async () => {
    const sockets = new Set<net.Socket>();
    raw.server.on("connection", (socket) => sockets.add(socket));
    expect(await ask()).toMatch(/^HTTP\/1\.1 200 /);
    for (const socket of sockets) socket.destroy();
    expect(await ask()).toMatch(/^HTTP\/1\.1 200 /);
    expect(raw.connections).toBe(2);
  });
});
