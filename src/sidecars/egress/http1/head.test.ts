import { describe, expect, it } from "vitest";
import { HeaderBlock } from "../header-block.ts";
import { MAX_HEADER_COUNT, Malformed } from "./fields.ts";
import { answerFraming, parseRequestHead, parseStatusHead, staysOpen } from "./head.ts";
import { HeadBuffer } from "./head-buffer.ts";

const parse = (text: string): ReturnType<typeof parseRequestHead> =>
  parseRequestHead(text, { lines: "", block: undefined });
const lines = (...all: string[]): string => all.map((line) => `${line}\r\n`).join("");
const post = (...more: string[]): string => lines("POST /x?y HTTP/1.1", "Host: a.test", ...more);
const why = (result: object): string => (result instanceof Malformed ? result.why : "accepted");

describe("the head of a request", () => {
  it("is method, target, version, headers as they came, and the length of the body", () => {
    const head = parse(post("X-One:  a b\t", "X-Empty:", "content-LENGTH: 12"));
    expect(head).toMatchObject({
      method: "POST",
      target: "/x?y",
      version: "1.1",
      framing: { kind: "length", length: 12 },
    });
    if (head instanceof Malformed) return;
    expect(head.block.list).toEqual([
      ["Host", "a.test"],
      ["X-One", "a b"],
      ["X-Empty", ""],
      ["content-LENGTH", "12"],
    ]);
    expect(head.block.values("x-one")).toEqual(["a b"]);
  });

  it.each([
    [post(), { kind: "none" }],
    [post("Transfer-Encoding: chunked"), { kind: "stream" }],
    [post("Transfer-Encoding: CHUNKED"), { kind: "stream" }],
    [post("Content-Length: 0"), { kind: "length", length: 0 }],
    [post("Content-Length: 999999999999999"), { kind: "length", length: 999_999_999_999_999 }],
  ])("frames %j", (text, framing) => {
    expect(parse(text)).toMatchObject({ framing });
  });

  it.each([
    ["no version", lines("GET /", "Host: a")],
    ["a version of its own", lines("GET / HTTP/1.7", "Host: a")],
    ["HTTP/2", lines("PRI * HTTP/2.0")],
    ["HTTP/0.9", lines("GET / HTTP/0.9")],
    ["lower case http", lines("GET / http/1.1")],
    ["two blanks", lines("GET  / HTTP/1.1")],
    ["a blank in front", lines(" GET / HTTP/1.1")],
    ["a blank behind", lines("GET / HTTP/1.1 ")],
    ["a tab", lines("GET\t/\tHTTP/1.1")],
    ["a method in lower case", lines("get / HTTP/1.1")],
    ["an unknown method", lines("BREW / HTTP/1.1")],
    ["a control byte in the target", lines("GET /\x01 HTTP/1.1")],
    ["a byte over ASCII in the target", lines("GET /\xe9 HTTP/1.1")],
    ["a backslash in the target", lines("GET /\\x HTTP/1.1")],
    ["no target", lines("GET HTTP/1.1")],
    ["a length and chunks", post("Content-Length: 1", "Transfer-Encoding: chunked")],
    ["the same length twice", post("Content-Length: 1", "Content-Length: 1")],
    ["a list of lengths", post("Content-Length: 1, 1")],
    ["a signed length", post("Content-Length: +1")],
    ["a negative length", post("Content-Length: -1")],
    ["a length with a point", post("Content-Length: 1.0")],
    ["a hexadecimal length", post("Content-Length: 0x1")],
    ["an empty length", post("Content-Length:")],
    ["a length beyond exact numbers", post("Content-Length: 1000000000000000")],
    ["chunked twice", post("Transfer-Encoding: chunked", "Transfer-Encoding: chunked")],
    ["chunked and more", post("Transfer-Encoding: chunked, identity")],
    ["identity", post("Transfer-Encoding: identity")],
    ["gzip", post("Transfer-Encoding: gzip, chunked")],
    ["quoted chunked", post('Transfer-Encoding: "chunked"')],
    ["chunked with a vertical tab", post("Transfer-Encoding: \x0bchunked")],
    ["chunks in HTTP/1.0", lines("POST / HTTP/1.0", "Transfer-Encoding: chunked")],
    ["a blank before the colon", post("X-A : 1")],
    ["a folded line", post("X-A: 1", " more")],
    ["a folded line with a tab", post("X-A: 1", "\tmore")],
    ["no colon", post("nonsense")],
    ["no name", post(": 1")],
    ["a name with a blank", post("X A: 1")],
    ["a name over ASCII", post("X-\xc4: 1")],
    ["a NUL in a value", post("X-A: a\0b")],
    ["a bare line feed in a value", post("X-A: 1\nX-B: 2")],
    ["a bare carriage return in a value", post("X-A: 1\rX-B: 2")],
    ["a delete byte in a value", post("X-A: \x7f")],
    ["too many lines", post(...Array<string>(MAX_HEADER_COUNT).fill("X-A: 1"))],
  ])("is refused for %s", (_name, text) => {
    expect(parse(text)).toBeInstanceOf(Malformed);
  });

  it("gives the same headers for the same lines, and other ones for others", () => {
    const memory = { lines: "", block: undefined };
    const heads = ["/a", "/b"].map((target) =>
      parseRequestHead(lines(`GET ${target} HTTP/1.1`, "Host: a.test", "X: 1"), memory),
    );
    const [first, second] = heads.map((head) => (head instanceof Malformed ? head : head.block));
    expect(first).toBe(second);
    const other = parseRequestHead(lines("GET / HTTP/1.1", "Host: a.test", "X: 2"), memory);
    expect(other instanceof Malformed ? other : other.block.values("x")).toEqual(["2"]);
  });
});

describe("the head of an answer", () => {
  it.each([
    ["HTTP/1.1 200 OK", 200, "OK"],
    ["HTTP/1.1 404 ", 404, ""],
    ["HTTP/1.0 204", 204, ""],
    ["HTTP/1.1 500 It went wrong \xe9", 500, "It went wrong \xe9"],
  ])("is read from %j", (line, status, reason) => {
    expect(parseStatusHead(lines(line))).toMatchObject({ status, reason });
  });

  it.each([
    "HTTP/1.1 99 x",
    "HTTP/1.1 600 x",
    "HTTP/1.1 2000 x",
    "HTTP/1.1 20 x",
    "HTTP/1.1  200 x",
    "HTTP/2 200 OK",
    "ICY 200 OK",
    "HTTP/1.1 200\tOK",
    "HTTP/1.1 200 a\0b",
    "",
  ])("is not %j", (line) => {
    expect(parseStatusHead(lines(line))).toBeInstanceOf(Malformed);
  });

  it("tells how long its body is", () => {
    const framingOf = (method: string, status: number, ...more: string[]): unknown => {
      const head = parseStatusHead(lines(`HTTP/1.1 ${status} x`, ...more));
      if (head instanceof Malformed) return head.why;
      const framing = answerFraming(head, method);
      return framing instanceof Malformed ? "malformed" : framing;
    };
    expect(framingOf("GET", 200)).toBeUndefined();
    expect(framingOf("GET", 200, "Content-Length: 3")).toEqual({ kind: "length", length: 3 });
    expect(framingOf("GET", 200, "Transfer-Encoding: chunked")).toEqual({ kind: "stream" });
    expect(framingOf("GET", 204, "Content-Length: 3")).toEqual({ kind: "none" });
    expect(framingOf("GET", 304, "Content-Length: 3")).toEqual({ kind: "length", length: 3 });
    expect(framingOf("HEAD", 200)).toEqual({ kind: "none" });
    expect(framingOf("HEAD", 200, "Content-Length: 3")).toEqual({ kind: "length", length: 3 });
    expect(framingOf("GET", 200, "Content-Length: 3", "Transfer-Encoding: chunked")).toBe(
      "malformed",
    );
    expect(framingOf("GET", 200, "Content-Length: 3", "Content-Length: 3")).toBe("malformed");
    expect(framingOf("GET", 200, "Transfer-Encoding: gzip")).toBe("malformed");
  });

  it("keeps the connection unless one side says otherwise", () => {
    const block = (value: string): HeaderBlock => HeaderBlock.of([["Connection", value]]);
    expect(staysOpen({ version: "1.1", block: HeaderBlock.of([]) })).toBe(true);
    expect(staysOpen({ version: "1.1", block: block("keep-alive") })).toBe(true);
    expect(staysOpen({ version: "1.1", block: block("X, Close") })).toBe(false);
    expect(staysOpen({ version: "1.0", block: block("keep-alive") })).toBe(false);
  });
});

describe("collecting a head", () => {
  const take = (text: string, size: number): string => {
    const buffer = new HeadBuffer();
    const bytes = Buffer.from(text, "latin1");
    for (let at = 0; at < bytes.length; at += size) {
      const taken = buffer.take(bytes.subarray(at, at + size));
      if (taken instanceof Malformed) return `refused: ${taken.why}`;
      if (taken === undefined) continue;
      const rest = taken.rest?.toString("latin1") ?? "";
      return `${taken.text}|${rest}${bytes.toString("latin1", at + size)}`;
    }
    return buffer.isEmpty ? "nothing" : "waits";
  };

  it.each([1, 2, 3, 7, 1000])("gives the same in pieces of %i bytes", (size) => {
    expect(take("GET / HTTP/1.1\r\nHost: a\r\n\r\nrest", size)).toBe(
      "GET / HTTP/1.1\r\nHost: a\r\n|rest",
    );
    expect(take("GET / HTTP/1.1\r\nHost: a\r\n", size)).toBe("waits");
  });

  it.each([
    ["bare line feeds", "GET / HTTP/1.1\nHost: a\n\n"],
    ["a bare carriage return", "GET / HTTP/1.1\rHost: a\r\r"],
    ["TLS", "\x16\x03\x01\x02\x00\x01"],
    ["an empty line in front", "\r\nGET / HTTP/1.1"],
    ["a header block without end", `GET / HTTP/1.1\r\nX: ${"a".repeat(70_000)}`],
    ["a header block that is too long", `GET / HTTP/1.1\r\nX: ${"a".repeat(70_000)}\r\n\r\n`],
  ])("does not wait for the end of %s", (_name, text) => {
    for (const size of [1, 5, 100_000]) expect(take(text, size)).toMatch(/^refused: /);
  });
});

describe("a refusal", () => {
  it("says what is wrong without repeating it", () => {
    const text = why(parse(post("X-Secret\x01: hunter2hunter2")));
    expect(text).toMatch(/^a header has no name/);
    expect(text).not.toContain("hunter2");
  });
});
