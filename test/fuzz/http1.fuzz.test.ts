// The framer of HTTP/1.1 against hostile bytes: no throw, bounded, the same at any chunking, and where Node's own parser
// accepts the same bytes it reads the same requests in them.
import http from "node:http";
import { duplexPair } from "node:stream";
import fc from "fast-check";
import { expect, it } from "vitest";
import { createDecoder } from "../../src/sidecars/egress/http1/body-decoder.ts";
import { Malformed } from "../../src/sidecars/egress/http1/fields.ts";
import {
  type HeadMemory,
  parseRequestHead,
  parseStatusHead,
} from "../../src/sidecars/egress/http1/head.ts";
import { HeadBuffer } from "../../src/sidecars/egress/http1/head-buffer.ts";

const SEED = 20_260_711;

interface Request {
  readonly method: string;
  readonly target: string;
  readonly headers: readonly string[];
  body: string;
  isWhole: boolean;
}

interface ReadAll {
  readonly requests: readonly Request[];
  readonly isRefused: boolean;
}

/** Reads bytes as one connection, in pieces. */
function readAll(bytes: Buffer, cuts: readonly number[]): ReadAll {
  const requests: Request[] = [];
  const memory: HeadMemory = { lines: "", block: undefined };
  const heads = new HeadBuffer();
  let current: { request: Request; decoder: ReturnType<typeof createDecoder> } | undefined;
  const feed = (piece: Buffer): boolean => {
    let rest: Buffer | undefined = piece;
    while (rest !== undefined && rest.length > 0) {
      if (current !== undefined) {
        const { request, decoder } = current;
        const used = decoder.feed(rest, 0, (chunk) => (request.body += chunk.toString("latin1")));
        if (decoder.fault !== undefined) return false;
        if (!decoder.isDone) return true;
        request.isWhole = true;
        current = undefined;
        rest = rest.subarray(used);
        continue;
      }
      const taken = heads.take(rest);
      if (taken === undefined) return true;
      if (taken instanceof Malformed) return false;
      const head = parseRequestHead(taken.text, memory);
      if (head instanceof Malformed) return false;
      const headers = head.block.list.flatMap(([name, value]) => [name, value]);
      const { method, target, framing } = head;
      const hasBody =
        framing.kind === "stream" || (framing.kind === "length" && framing.length > 0);
      const request = { method, target, headers, body: "", isWhole: !hasBody };
      requests.push(request);
      if (hasBody) current = { request, decoder: createDecoder(framing) };
      rest = taken.rest;
    }
    return true;
  };
  let at = 0;
  for (const cut of [
    ...cuts.map((it) => it % (bytes.length + 1)).toSorted((a, b) => a - b),
    bytes.length,
  ]) {
    if (cut > at && !feed(bytes.subarray(at, cut))) return { requests, isRefused: true };
    at = Math.max(at, cut);
  }
  return { requests, isRefused: false };
}

/** Reads bytes with Node's server. */
async function readWithNode(bytes: Buffer): Promise<ReadAll> {
  const requests: Request[] = [];
  let isRefused = false;
  const server = http.createServer({ requireHostHeader: false, keepAliveTimeout: 0 });
  server.maxHeadersCount = 0;
  server.on("request", (request: http.IncomingMessage, response) => {
    const { method = "", url = "", rawHeaders } = request;
    const seen: Request = { method, target: url, headers: rawHeaders, body: "", isWhole: false };
    requests.push(seen);
    request.on("data", (chunk: Buffer) => (seen.body += chunk.toString("latin1")));
    request.on("end", () => (seen.isWhole = request.complete));
    request.on("error", () => undefined);
    response.end();
  });
  server.on(
    "checkExpectation",
    (request, response) => void server.emit("request", request, response),
  );
  const refuse = (): void => {
    isRefused = true;
  };
  server.on("clientError", refuse);
  server.on("upgrade", refuse);
  server.on("connect", refuse);
  const [client, side] = duplexPair();
  client.on("error", () => undefined);
  client.resume();
  side.on("error", () => undefined);
  server.emit("connection", side);
  client.write(bytes);
  for (let turn = 0; turn < 6; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  side.destroy();
  client.destroy();
  server.close();
  return { requests, isRefused };
}

const METHODS = ["GET", "POST", "PUT", "HEAD", "OPTIONS", "get", "G\0T", "BREW", ""];
const TARGETS = ["/", "/a?b=c", "http://a.test/x", "*", "/%2e", "/a b", "/\xe9", "//", "\\", ""];
const VERSIONS = ["HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/1.2", "http/1.1", ""];
const FIELDS = [
  "Host: a.test",
  "Host:a.test",
  "X-A: 1",
  "X-A:",
  "X-\xc4: 1",
  "X-A: \xff",
  "Content-Length: 5",
  "Content-Length: 05",
  "Content-Length: 5, 5",
  "Content-Length: +5",
  "Content-Length: 5 5",
  "content-length:5",
  "Content-Length : 5",
  "Transfer-Encoding: chunked",
  "Transfer-Encoding: Chunked",
  "Transfer-Encoding: chunked, chunked",
  "Transfer-Encoding: identity",
  "Transfer-Encoding: xchunked",
  "Transfer-Encoding:\tchunked",
  "Transfer-Encoding : chunked",
  " folded",
  "\tfolded",
  "Connection: close",
  "Connection: keep-alive",
  "Expect: 100-continue",
  "nonsense",
  ": x",
  "X\0: y",
];
const BODIES = [
  "",
  "hello",
  "hellothere",
  "5\r\nhello\r\n0\r\n\r\n",
  "5;x=y\r\nhello\r\n0\r\n\r\n",
  "5 \r\nhello\r\n0\r\n\r\n",
  "0x5\r\nhello\r\n0\r\n\r\n",
  "5\nhello\n0\n\n",
  "0\r\nX: y\r\n\r\n",
  "5\r\nhello0\r\n\r\n",
  "ffffffffffffffff5\r\nhello\r\n0\r\n\r\n",
  "0\r\n\r\n",
];
const END = fc.constantFrom("\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\n", "\r", "\r\r\n");

const request = fc
  .record({
    line: fc.tuple(
      fc.constantFrom(...METHODS),
      fc.constantFrom(...TARGETS),
      fc.constantFrom(...VERSIONS),
    ),
    fields: fc.array(fc.tuple(fc.constantFrom(...FIELDS), END), { maxLength: 5 }),
    lineEnd: END,
    headEnd: END,
    body: fc.constantFrom(...BODIES),
  })
  .map(({ line, fields, lineEnd, headEnd, body }) => {
    const head = fields.map(([field, end]) => `${field}${end}`).join("");
    return `${line.join(" ")}${lineEnd}${head}${headEnd}${body}`;
  });
/** Mostly right, so that what is wrong is looked at closely. */
const FRAMED = [
  ["", ""],
  ["Content-Length: 5\r\n", "hello"],
  ["Content-Length: 0\r\n", ""],
  ["content-length: 10\r\n", "GET / HTTP"],
  ["Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"],
  ["Transfer-Encoding: chunked\r\n", "1\r\na\r\nA;x=y\r\n0123456789\r\n0\r\nX: y\r\n\r\n"],
  ["transfer-encoding: CHUNKED\r\n", "0\r\n\r\n"],
] as const;
const HARMLESS = ["Host: a.test", "X-A: 1", "X-A:", "X-B:\tb ", "Accept: */*", "Cookie: a=b; c=d"];
const plain = fc
  .record({
    method: fc.constantFrom("GET", "POST", "PUT"),
    target: fc.constantFrom("/", "/a?b=c", "http://a.test/x"),
    fields: fc.array(fc.constantFrom(...HARMLESS), { maxLength: 3 }),
    framed: fc.constantFrom(...FRAMED),
  })
  .map(({ method, target, fields, framed: [framing, body] }) => {
    const lines = fields.map((it) => `${it}\r\n`).join("");
    return `${method} ${target} HTTP/1.1\r\n${lines}${framing}\r\n${body}`;
  });
/** Right but for one thing. */
const odd = fc
  .record({
    method: fc.constantFrom("GET", "POST"),
    fields: fc.array(fc.constantFrom(...FIELDS.slice(0, 14)), { maxLength: 3 }),
    body: fc.constantFrom(...BODIES),
  })
  .map(
    ({ method, fields, body }) =>
      `${method} / HTTP/1.1\r\n${["Host: a.test", ...fields].map((it) => `${it}\r\n`).join("")}\r\n${body}`,
  );
const edit = fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 }));
const connection = fc
  .tuple(
    fc.array(fc.oneof(plain, plain, plain, plain, odd, request), { minLength: 1, maxLength: 3 }),
    fc.oneof(fc.constant([]), fc.constant([]), fc.array(edit, { maxLength: 3 })),
  )
  .map(([requests, edits]) => {
    const bytes = Buffer.from(requests.join(""), "latin1");
    for (const [at, value] of edits) bytes[at % bytes.length] = value;
    return bytes;
  });

it("reads the same at any chunking", () => {
  fc.assert(
    fc.property(connection, fc.array(fc.nat(), { maxLength: 12 }), (bytes, cuts) => {
      const whole = readAll(bytes, []);
      const pieces = readAll(bytes, cuts);
      expect(pieces).toEqual(whole);
    }),
    { seed: SEED, numRuns: 6000 },
  );
});

let compared = 0;

it("means what Node's parser means, where that accepts the same bytes", async () => {
  await fc.assert(
    fc.asyncProperty(connection, async (bytes) => {
      const ours = readAll(bytes, []);
      const theirs = await readWithNode(bytes);
      // What they refuse we may read as far as they did; what both read must be the same.
      const both = Math.min(ours.requests.length, theirs.requests.length);
      if (!theirs.isRefused && !ours.isRefused) {
        const closes = theirs.requests.findIndex(isLast);
        const read = closes < 0 ? ours.requests : ours.requests.slice(0, closes + 1);
        expect(theirs.requests.length).toBe(read.length);
        compared += read.filter((it) => it.isWhole && it.body !== "").length;
      }
      for (let index = 0; index < both; index += 1) {
        const [mine, other] = [ours.requests[index], theirs.requests[index]];
        expect([mine?.method, mine?.target, mine?.headers]).toEqual([
          other?.method,
          other?.target,
          other?.headers,
        ]);
        if (mine?.isWhole === true && other?.isWhole === true) expect(mine.body).toBe(other.body);
      }
    }),
    { seed: SEED, numRuns: 3000 },
  );
  // The comparison is worth something only where both read bodies.
  expect(compared).toBeGreaterThan(500);
});

/** After this request Node reads no further. */
function isLast({ headers }: Request): boolean {
  const at = headers.findIndex((it, index) => index % 2 === 0 && it.toLowerCase() === "connection");
  return at >= 0 && /close/i.test(headers[at + 1] ?? "");
}

it("survives noise", () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 400 }),
      fc.array(fc.nat(), { maxLength: 4 }),
      (noise, cuts) => {
        const { requests } = readAll(Buffer.from(noise), cuts);
        expect(requests).toEqual([]);
        parseStatusHead(Buffer.from(noise).toString("latin1"));
      },
    ),
    { seed: SEED, numRuns: 4000 },
  );
});
