// Packed data in a body: found wherever it begins, undone as far as it goes, refused where there is too much.
import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { compileKnownSecrets, MAX_PACKED } from "../../policy/dlp/known-secrets.ts";
import { redactSteps } from "../../policy/dlp/mask.ts";
import { MAX_PACKED_DEPTH, MAX_UNPACKED_BYTES, scanSteps } from "../../policy/dlp/scan.ts";
import type { ScanPolicy } from "../../policy/dlp/types.ts";
import { settle } from "./turns.ts";
import { unpack } from "./unpack.ts";

const SECRET = "tok-0123456789abcdefGHIJ";
const policy: ScanPolicy = {
  detectors: [compileKnownSecrets([{ name: "TOKEN", value: SECRET }]).detector],
  placeholders: [],
  unpack,
};

async function judge(body: Buffer | string): Promise<string> {
  const [first] = await settle(scanSteps({ surface: "body", bytes: Buffer.from(body) }, policy));
  return first === undefined ? "clean" : first.kind === "secret" ? first.secret : first.kind;
}

const text = `some text and ${SECRET} and more of it `.repeat(3);
const noise = Buffer.from(Array.from({ length: 5000 }, (_, at) => (at * at * 31 + at) & 0xff));
const behind = (packed: Buffer, more: Buffer): Buffer => Buffer.concat([packed, more]);
const b64 = (bytes: Buffer): string => bytes.toString("base64");

/** A member whose head has every optional field, and something packed in one of them. */
function gzipWithHead(inner: Buffer): Buffer {
  const plain = gzipSync("nothing");
  const size = Buffer.from([inner.length & 0xff, inner.length >> 8]);
  const head = Buffer.from(plain.subarray(0, 10));
  head[3] = 4 | 8 | 16 | 2;
  return Buffer.concat([
    head,
    size,
    inner,
    Buffer.from("name\0said\0"),
    Buffer.alloc(2),
    plain.subarray(10),
  ]);
}

describe.each([
  ["gzip", gzipSync],
  ["zlib", deflateSync],
  ["zstd", zstdCompressSync],
])("%s", (_, pack) => {
  const packed = pack(text);

  it.each<readonly [string, () => Buffer | string]>([
    ["as the body", () => packed],
    ["in base64", () => b64(packed)],
    ["in base64 in JSON", () => JSON.stringify({ data: b64(packed) })],
    ["in base64url in a form", () => `a=1&b=${packed.toString("base64url")}`],
    ["in base64 in a form", () => `a=1&b=${encodeURIComponent(b64(packed))}`],
    ["in hexadecimal", () => `data ${packed.toString("hex")} end`],
    ["twice", () => gzipSync(b64(packed))],
    ["with more behind it", () => behind(packed, Buffer.from("and so on"))],
    ["behind another one", () => behind(pack("nothing to see"), packed)],
    ["behind one of another kind", () => behind(gzipSync("nothing to see"), packed)],
    ["behind one in base64", () => b64(behind(gzipSync("nothing to see"), packed))],
    ["cut off", () => packed.subarray(0, packed.length - 4)],
  ])("is undone %s", async (_name, body) => {
    expect(await judge(body())).toBe("TOKEN");
  });

  it("is refused where it holds too much", async () => {
    expect(await judge(pack(Buffer.alloc(40_000_000)))).toBe("unjudged");
    let nested = pack("deep");
    for (let depth = 0; depth <= MAX_PACKED_DEPTH; depth += 1) nested = gzipSync(nested);
    expect(await judge(nested)).toBe("unjudged");
  });

  it("is let through where nothing is in it", async () => {
    expect(await judge(pack("nothing to see"))).toBe("clean");
    expect(await judge(JSON.stringify({ data: b64(pack("nothing to see")) }))).toBe("clean");
    expect(await judge(pack(""))).toBe("clean");
  });
});

describe("packed data", () => {
  it.each([
    ["of a wrong checksum", behind(gzipSync(text).subarray(0, -8), Buffer.alloc(8))],
    [
      "broken behind the value",
      behind(gzipSync(behind(Buffer.from(text), noise)).subarray(0, 3000), noise),
    ],
    ["behind a byte", behind(Buffer.from("x"), gzipSync(text))],
    ["in the head of another", gzipWithHead(gzipSync(text))],
    ["in a stored block of another", gzipSync(gzipSync(text), { level: 0 })],
    [
      "of many members",
      Buffer.concat([...Array.from({ length: 50 }, () => gzipSync("no")), gzipSync(text)]),
    ],
  ])("%s is undone", async (_, body) => {
    expect(await judge(body)).toBe("TOKEN");
  });

  it("of more members than are looked at is refused", async () => {
    const members = Array.from({ length: MAX_PACKED + 1 }, () => gzipSync("no"));
    expect(await judge(Buffer.concat(members))).toBe("unjudged");
  });

  it.each([
    ["text", "x^2 + y^2 = z^2"],
    ["much text in JSON", JSON.stringify({ a: 'é "x^2" and y=x^3 ü '.repeat(1000) })],
    ["a beginning", Buffer.from([0x1f, 0x8b, 8, 0])],
    ["a beginning and noise", behind(Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]), noise)],
    ["a beginning of zstd and noise", behind(Buffer.from([0x28, 0xb5, 0x2f, 0xfd]), noise)],
    ["reserved bits", behind(Buffer.from([0x1f, 0x8b, 8, 0xff]), noise)],
    ["something else", brotliCompressSync("nothing")],
  ])("that only looks so passes: %s", async (_, body) => {
    expect(await judge(body)).toBe("clean");
  });

  it.each([
    ["zlib in base64", b64(deflateSync(text))],
    ["zlib in hexadecimal", deflateSync(text).toString("hex")],
    ["zlib in base64 twice", b64(Buffer.from(b64(deflateSync(text))))],
    ["gzip in base64", b64(gzipSync(text))],
  ])("is undone in a later field: %s", async (_, packed) => {
    const ids = ["0123456789abcdefghijklmnop", "0123456789abcdef0123456789abcdef"];
    for (const id of ids) {
      expect(await judge(JSON.stringify({ id, data: packed }))).toBe("TOKEN");
      expect(await judge(`id=${id}&data=${encodeURIComponent(packed)}`)).toBe("TOKEN");
    }
  });

  it.each([
    ["every byte", (bytes: Buffer) => bytes.toString("hex").replace(/../g, "%$&")],
    [
      "what is no letter",
      (bytes: Buffer) =>
        bytes
          .toString("latin1")
          .replace(/\W/g, (it) => `%${Buffer.from(it, "latin1").toString("hex")}`),
    ],
  ])("is undone in a later field with %s percent-encoded", async (_, encode) => {
    for (const level of [1, 2, 6, 9]) {
      expect(await judge(`a=b&data=${encode(deflateSync(text, { level }))}`)).toBe("TOKEN");
    }
  });

  it("is undone beside a finding that counts for nothing", async () => {
    const placeholder = `placeholder-${SECRET}`;
    const body = behind(Buffer.from(`${placeholder} `), gzipSync(text));
    const lenient = { ...policy, placeholders: [placeholder] };
    const found = async (bytes: Buffer): Promise<number> =>
      (await settle(scanSteps({ surface: "body", bytes }, lenient))).length;
    expect(await found(Buffer.from(placeholder))).toBe(0);
    expect(await found(body)).toBeGreaterThan(0);
  });

  it("is bounded over all of what is nested", async () => {
    let total = 0;
    const counting: ScanPolicy = {
      ...policy,
      unpack: async (packed) => {
        const result = await unpack(packed);
        if (result !== undefined && result !== "beyond-bounds") total += result.bytes.length;
        return result;
      },
    };
    const leafSize = 250 * 1024;
    const leaf = gzipSync(Buffer.alloc(leafSize));
    const middle = gzipSync(Buffer.concat(Array.from({ length: 25 }, () => leaf)));
    const bytes = Buffer.concat(Array.from({ length: 40 }, () => middle));
    const [first] = await settle(scanSteps({ surface: "body", bytes }, counting));
    expect(first?.kind).toBe("unjudged");
    expect(total).toBeLessThanOrEqual(MAX_UNPACKED_BYTES + leafSize);
  });

  it("cannot be masked in", async () => {
    const bytes = gzipSync(text);
    const result = await settle(redactSteps({ surface: "body", bytes }, policy));
    expect([result.ok, result.findings]).toEqual([false, []]);
  });
});
