import { describe, expect, it } from "vitest";
import { createDecoder } from "./body-decoder.ts";
import { MAX_EXTENSION_BYTES, MAX_TRAILER_BYTES } from "./chunked.ts";

interface Read {
  readonly data: string;
  readonly rest: string;
  readonly trailers: readonly (readonly [string, string])[];
  readonly end: "done" | "open" | "fault";
}

function read(text: string, size = 1000): Read {
  const decoder = createDecoder({ kind: "stream" });
  const bytes = Buffer.from(text, "latin1");
  let data = "";
  let rest = "";
  for (let at = 0; at < bytes.length; at += size) {
    const piece = bytes.subarray(at, at + size);
    const used = decoder.feed(piece, 0, (chunk) => (data += chunk.toString("latin1")));
    if (!decoder.isDone && decoder.fault === undefined) continue;
    rest = piece.toString("latin1", used) + bytes.toString("latin1", at + size);
    break;
  }
  const end = decoder.isDone ? "done" : decoder.fault === undefined ? "open" : "fault";
  return { data, rest, trailers: decoder.trailers, end };
}

describe("the chunked coding", () => {
  it.each([1, 2, 3, 5, 1000])("is undone in pieces of %i bytes", (size) => {
    const text = "4\r\nWiki\r\n1a;name=value\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\n\r\nnext";
    expect(read(text, size)).toEqual({
      data: "Wikiabcdefghijklmnopqrstuvwxyz",
      rest: "next",
      trailers: [],
      end: "done",
    });
    const trailed = "3\r\nabc\r\n0\r\nGrpc-Status: 0\r\nX: y\r\n\r\nnext";
    expect(read(trailed, size)).toMatchObject({
      data: "abc",
      rest: "next",
      trailers: [
        ["Grpc-Status", "0"],
        ["X", "y"],
      ],
      end: "done",
    });
  });

  it.each([
    ["a size with a prefix", "0x4\r\nabcd\r\n0\r\n\r\n"],
    ["a signed size", "+4\r\nabcd\r\n0\r\n\r\n"],
    ["no size", "\r\nabcd\r\n0\r\n\r\n"],
    ["a size with a blank", "4 \r\nabcd\r\n0\r\n\r\n"],
    ["a blank before the size", " 4\r\nabcd\r\n0\r\n\r\n"],
    ["a size that is too large", "10000000000000004\r\nabcd\r\n0\r\n\r\n"],
    ["more zeros than a size has digits", "000000004\r\nabcd\r\n0\r\n\r\n"],
    ["a size line that ends in a line feed", "4\nabcd\r\n0\r\n\r\n"],
    ["a size line that ends in a carriage return", "4\rabcd\r\n0\r\n\r\n"],
    ["a chunk that is longer than its size", "4\r\nabcdefgh\r\n0\r\n\r\n"],
    ["a chunk that ends in a line feed", "4\r\nabcd\n0\r\n\r\n"],
    ["a line feed in an extension", "4;a\nb\r\nabcd\r\n0\r\n\r\n"],
    ["long extensions", `4;${"a".repeat(MAX_EXTENSION_BYTES + 1)}\r\nabcd\r\n0\r\n\r\n`],
    ["trailers that end in line feeds", "0\r\nX: y\n\n"],
    ["a folded trailer", "0\r\nX: y\r\n z\r\n\r\n"],
    ["a trailer without a name", "0\r\n: y\r\n\r\n"],
    ["long trailers", `0\r\nX: ${"y".repeat(MAX_TRAILER_BYTES)}\r\n\r\n`],
  ])("is refused with %s", (_name, text) => {
    for (const size of [1, 3, 20_000]) expect(read(text, size).end).toBe("fault");
  });

  it("bounds extensions of all chunks together", () => {
    const chunk = `1;${"e".repeat(100)}\r\nx\r\n`;
    expect(read(chunk.repeat(20), 20_000).end).toBe("fault");
  });

  it("waits for the rest", () => {
    for (const text of ["", "4", "4\r\nab", "4\r\nabcd\r\n0\r\n", "0\r\nX: y\r\n"]) {
      expect(read(text).end).toBe("open");
    }
  });
});

describe("a body with a length", () => {
  it("ends where it says, and leaves the rest alone", () => {
    const decoder = createDecoder({ kind: "length", length: 5 });
    let data = "";
    const take = (chunk: Buffer): void => void (data += chunk.toString());
    expect(decoder.feed(Buffer.from("xxhel"), 2, take)).toBe(5);
    expect(decoder.isDone).toBe(false);
    expect(decoder.feed(Buffer.from("loGET /"), 0, take)).toBe(2);
    expect([data, decoder.isDone]).toEqual(["hello", true]);
  });
});
