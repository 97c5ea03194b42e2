import { deflateSync, gzipSync, zstdCompressSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import type { Detector, ScanPolicy, ViewForm } from "../../policy/dlp/types.ts";
import { deriveViews, MAX_DEPTH } from "./body-views.ts";
import { MAX_PARTS } from "./multipart.ts";

const detector = (undoes: readonly ViewForm[]): Detector => ({
  name: "test",
  tier: "anchored",
  longest: 1,
  undoes,
  find: function* find() {
    return { findings: [], isComplete: true };
  },
});
const policy: ScanPolicy = { detectors: [detector([])], placeholders: [] };

function views(body: string | Buffer, contentType: string): readonly string[] {
  const derived = deriveViews(Buffer.from(body), contentType, policy);
  return derived === "beyond-bounds"
    ? [derived]
    : derived.map((it) => `${it.form}:${it.bytes.toString()}`);
}

const multipart = (...parts: string[]): string =>
  `${parts.map((part) => `--b\r\n${part}\r\n`).join("")}--b--\r\n`;
const TYPE = 'multipart/form-data; boundary="b"';

describe("a body in other words", () => {
  it("is nothing where nothing is hidden", () => {
    expect(views("plain text", "text/plain")).toEqual([]);
    expect(views(multipart("Content-Type: text/plain\r\n\r\nplain"), TYPE)).toEqual([]);
    expect(views("whatever", "multipart/form-data")).toEqual([]);
  });

  it.each([
    ["base64", Buffer.from("hidden words").toString("base64")],
    ["Quoted-Printable", "hid=64en=\r\n=20words"],
  ])("is a part with %s undone", (encoding, text) => {
    const body = multipart(
      "X: y\r\n\r\nplain",
      `content-transfer-encoding: ${encoding}\r\n\r\n${text}`,
    );
    expect(views(body, TYPE).map((it) => it.trim())).toEqual(["part:hidden words"]);
  });

  it("is a part of a part, but not for ever", () => {
    const inner = `--c\r\nContent-Transfer-Encoding: base64\r\n\r\n${btoa("deep")}\r\n--c--`;
    const nested = `Content-Type: multipart/mixed;\r\n boundary=c\r\n\r\n${inner}`;
    expect(views(multipart(nested), TYPE)).toEqual(["part:deep"]);
    const deeper = (text: string, depth: number): string =>
      depth === 0
        ? text
        : `Content-Type: multipart/mixed; boundary=d${depth}\r\n\r\n--d${depth}\r\n${deeper(text, depth - 1)}\r\n--d${depth}--`;
    expect(views(multipart(deeper("X: y\r\n\r\nz", MAX_DEPTH - 1)), TYPE)).toEqual([]);
    expect(views(multipart(deeper("X: y\r\n\r\nz", MAX_DEPTH)), TYPE)).toEqual(["beyond-bounds"]);
  });

  it("has a bounded number of parts", () => {
    const many = multipart(...Array<string>(MAX_PARTS + 1).fill("\r\nx"));
    expect(views(many, TYPE)).toEqual(["beyond-bounds"]);
  });

  it("is what a form's fields and JSON's strings say", () => {
    expect(views("a=b+c%21&d", "application/x-www-form-urlencoded; charset=utf-8")).toEqual([
      "form:a=b c!&d",
    ]);
    const text = String.raw`{"k":["a\u0062c",{"\/x":"y\nz"}],"n":1}`;
    expect(views(text, "application/problem+json")[0]?.split("\n").toSorted()).toEqual(
      ["/x", "0", "abc", "json:k", "n", "y", "z", "1"].toSorted(),
    );
    expect(views("not json", "application/json")).toEqual([]);
    expect(views(`${"[".repeat(5000)}"x"${"]".repeat(5000)}`, "application/json")).toEqual([
      expect.stringContaining("x"),
    ]);
  });

  it("is a part that may be packed", () => {
    const part = (bytes: Buffer): string => multipart(`X: y\r\n\r\n${bytes.toString("latin1")}`);
    const seen = (bytes: Buffer): number => views(Buffer.from(part(bytes), "latin1"), TYPE).length;
    for (const pack of [gzipSync, zstdCompressSync, deflateSync]) {
      expect(seen(pack("packed"))).toBe(1);
    }
    expect(seen(Buffer.from("x is no packed file"))).toBe(0);
  });

  it("is not made where every detector finds its own way through", () => {
    const own = { detectors: [detector(["json", "form"])], placeholders: [] };
    expect(deriveViews(Buffer.from('{"a":"b"}'), "application/json", own)).toEqual([]);
  });
});
