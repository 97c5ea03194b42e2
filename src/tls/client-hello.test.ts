// Client hellos, whole, in parts, and odd.
import { describe, expect, it } from "vitest";
import { type ClientHello, MAX_CLIENT_HELLO_BYTES, parseClientHello } from "./client-hello.ts";

const u16 = (value: number): Buffer => Buffer.from([value >> 8, value & 0xff]);
const vector16 = (...parts: Uint8Array[]): Buffer => {
  const body = Buffer.concat(parts);
  return Buffer.concat([u16(body.length), body]);
};
const vector8 = (body: Uint8Array): Buffer => Buffer.concat([Buffer.from([body.length]), body]);
const extension = (type: number, body: Uint8Array): Buffer =>
  Buffer.concat([u16(type), vector16(body)]);
const sni = (...names: string[]): Buffer =>
  extension(
    0,
    vector16(
      ...names.map((name) => Buffer.concat([Buffer.from([0]), vector16(Buffer.from(name))])),
    ),
  );
const alpn = (...names: string[]): Buffer =>
  extension(16, vector16(...names.map((name) => vector8(Buffer.from(name)))));

interface Parts {
  readonly extensions?: Uint8Array;
  readonly session?: Uint8Array;
  readonly ciphers?: Uint8Array;
  readonly type?: number;
}

function message(parts: Parts): Buffer {
  const body = Buffer.concat([
    Buffer.from([3, 3]),
    Buffer.alloc(32, 7),
    vector8(parts.session ?? Buffer.alloc(32)),
    vector16(parts.ciphers ?? Buffer.from([0x13, 0x01])),
    vector8(Buffer.from([0])),
    parts.extensions === undefined ? Buffer.alloc(0) : vector16(parts.extensions),
  ]);
  return Buffer.concat([Buffer.from([parts.type ?? 1, 0]), u16(body.length), body]);
}

const record = (body: Uint8Array): Buffer =>
  Buffer.concat([Buffer.from([22, 3, 1]), vector16(body)]);
const hello = (...extensions: Uint8Array[]): Buffer =>
  record(message({ extensions: Buffer.concat(extensions) }));

const NOT_TLS: ClientHello = { kind: "not-tls" };

describe("parseClientHello", () => {
  it("reads name, protocols and ECH", () => {
    expect(parseClientHello(hello(sni("api.example.com"), alpn("h2", "http/1.1")))).toEqual({
      kind: "hello",
      serverName: "api.example.com",
      alpn: ["h2", "http/1.1"],
      hasEch: false,
    });
    expect(parseClientHello(hello(extension(0xfe0d, Buffer.from([1]))))).toMatchObject({
      serverName: undefined,
      hasEch: true,
    });
    expect(parseClientHello(record(message({})))).toMatchObject({ kind: "hello", alpn: [] });
  });

  it("waits for every missing byte, and needs none behind the hello", () => {
    const bytes = hello(sni("api.example.com"));
    for (let length = 0; length < bytes.length; length += 1) {
      expect(parseClientHello(bytes.subarray(0, length)).kind).toBe("need-more");
    }
    expect(parseClientHello(Buffer.concat([bytes, Buffer.from("junk")])).kind).toBe("hello");
  });

  it("joins a hello that is spread over records", () => {
    const body = message({ extensions: sni("api.example.com") });
    const records = [...body].map((byte) => record(Buffer.from([byte])));
    expect(parseClientHello(Buffer.concat(records))).toMatchObject({
      serverName: "api.example.com",
    });
  });

  it.each<[string, Buffer]>([
    ["http", Buffer.from("GET / HTTP/1.1\r\n")],
    ["http/2 with prior knowledge", Buffer.from("PRI * HTTP/2.0\r\n")],
    ["ssh", Buffer.from("SSH-2.0-x\r\n")],
    ["an SSLv2 hello", Buffer.from([0x80, 0x2e, 1, 3, 1])],
    ["another record type", Buffer.from([23, 3, 3, 0, 1, 0])],
    ["an unknown version", Buffer.from([22, 4, 0, 0, 1])],
    ["an empty record", Buffer.from([22, 3, 1, 0, 0])],
    ["a record over the limit", Buffer.from([22, 3, 1, 0xff, 0xff])],
    ["another message", record(message({ type: 2 }))],
    [
      "a message over the limit",
      record(Buffer.concat([Buffer.from([1, 0x01, 0, 0]), Buffer.alloc(100)])),
    ],
    ["an empty name", hello(sni(""))],
    ["two names", hello(sni("a.test", "b.test"))],
    ["a name with NUL", hello(sni("a.test\0.evil"))],
    ["a name with a line break", hello(sni("a.test\r\n"))],
    ["two name extensions", hello(sni("a.test"), sni("b.test"))],
    ["an empty name extension", hello(extension(0, Buffer.alloc(0)))],
    ["an extension past the end", hello(Buffer.from([0, 0, 0, 9, 0]))],
    ["an empty protocol", hello(alpn(""))],
    ["no protocols", hello(alpn())],
    ["a long session", record(message({ session: Buffer.alloc(33) }))],
    ["half a cipher", record(message({ ciphers: Buffer.from([1, 2, 3]) }))],
    ["no cipher", record(message({ ciphers: Buffer.alloc(0) }))],
    [
      "bytes behind the extensions",
      record(
        Buffer.from(
          message({ extensions: sni("a.test") })
            .toString("hex")
            .replace(/^01(......)(.*)$/, (_, size: string, rest: string) => {
              const longer = (Number.parseInt(size, 16) + 1).toString(16).padStart(6, "0");
              return `01${longer}${rest}00`;
            }),
          "hex",
        ),
      ),
    ],
  ])("%s is not TLS", (_, bytes) => {
    expect(parseClientHello(bytes)).toEqual(NOT_TLS);
  });

  it("stops waiting at its bound", () => {
    const drip = Buffer.concat(
      Array.from({ length: 200 }, () => record(Buffer.concat([Buffer.from([1, 0, 0x3f, 0xff])]))),
    );
    expect(parseClientHello(drip).kind).not.toBe("hello");
    expect(drip.length).toBeLessThan(MAX_CLIENT_HELLO_BYTES);
  });
});
