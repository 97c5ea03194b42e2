// The upstream of the benchmark, a process of its own: HTTP/1.1 over TLS without a framework, so that it costs little itself.
// argv: the authority as JSON. Prints its port. Paths: /small, /mib, /sse; a body of any length is read and counted.

import { performServerHandshake } from "node:http2";
import { createSecureContext, createServer, type SecureContext, type TLSSocket } from "node:tls";
import * as z from "zod/mini";
import { parseJson } from "../../src/base/json.ts";
import { createLeafMinter } from "../../src/tls/leaf.ts";
import { SSE_EVENTS, SSE_GAP_MS } from "./modes.ts";

const given = z.object({ certificatePem: z.string(), keyPem: z.string() });
const { certificatePem, keyPem } = given.parse(parseJson(process.argv[2] ?? "{}"));
const minter = createLeafMinter({ certificatePem, keyPem, now: Date.now });
const contexts = new Map<string, SecureContext>();
function contextFor(name: string): SecureContext {
  const known = contexts.get(name);
  if (known !== undefined) return known;
  const leaf = minter.mint(name);
  const made = createSecureContext({ cert: leaf.certPem, key: leaf.keyPem });
  contexts.set(name, made);
  return made;
}

const head = (length: number): string =>
  `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ${length}\r\nServer: bench\r\nDate: Sat, 21 Nov 2026 00:00:00 GMT\r\nX-Request-Id: 0123456789abcdef\r\n\r\n`;
const body = '{"id":1,"object":"thing","ok":true,"items":[1,2,3]}';
const SMALL = Buffer.from(head(body.length) + body);
const MIB = Buffer.alloc(
  1024 * 1024,
  '{"key":"value","number":12345,"text":"the quick brown fox"},\n',
);
const MIB_HEAD = Buffer.from(head(MIB.length));

function sendEvents(socket: TLSSocket): void {
  socket.write(
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
  );
  let sent = 0;
  const timer = setInterval(() => {
    const event = `data: ${process.hrtime.bigint()}\n\n`;
    socket.write(`${event.length.toString(16)}\r\n${event}\r\n`);
    sent += 1;
    if (sent < SSE_EVENTS) return;
    clearInterval(timer);
    socket.write("0\r\n\r\n");
  }, SSE_GAP_MS);
  socket.on("close", () => clearInterval(timer));
}

function answer(socket: TLSSocket, text: string): void {
  if (text.startsWith("GET /mib")) {
    socket.cork();
    socket.write(MIB_HEAD);
    socket.write(MIB);
    socket.uncork();
  } else if (text.startsWith("GET /sse")) sendEvents(socket);
  else socket.write(SMALL);
}

const server = createServer({
  SNICallback: (name, done) => done(null, contextFor(name)),
  ALPNProtocols: ["h2", "http/1.1"],
});
server.on("secureConnection", (socket) => {
  if (socket.alpnProtocol === "h2") serveHttp2(socket);
  else serveHttp1(socket);
});

function serveHttp2(socket: TLSSocket): void {
  const session = performServerHandshake(socket);
  session.on("error", () => session.destroy());
  session.on("stream", (stream) => {
    stream.on("error", () => undefined);
    stream.respond({ ":status": 200, "content-type": "application/json" });
    stream.end(body);
  });
}

function serveHttp1(socket: TLSSocket): void {
  let held = "";
  let left = 0;
  socket.setNoDelay(true);
  socket.on("error", () => socket.destroy());
  socket.on("data", (chunk: Buffer) => {
    if (left > 0) {
      left -= chunk.length;
      if (left <= 0) socket.write(SMALL);
      return;
    }
    held += chunk.toString("latin1");
    for (let end = held.indexOf("\r\n\r\n"); end >= 0; end = held.indexOf("\r\n\r\n")) {
      const text = held.slice(0, end + 2);
      held = held.slice(end + 4);
      const length = Number(/content-length: (\d+)/i.exec(text)?.[1] ?? 0);
      left = length - held.length;
      if (left > 0) held = "";
      else {
        held = held.slice(length);
        answer(socket, text);
      }
      if (left > 0) return;
    }
  });
}
server.on("tlsClientError", () => undefined);
server.listen(0, "127.0.0.1", () => {
  const address = server.address();
  console.log(typeof address === "object" ? address?.port : 0);
});
process.stdin.on("end", () => process.exit(0)).resume();
