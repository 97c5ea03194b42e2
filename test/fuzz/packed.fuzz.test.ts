// Packed data in hostile surroundings: a value in it is found or nothing is judged, and no bytes make the search fail.
import { deflateSync, gzipSync, zstdCompressSync } from "node:zlib";
import fc from "fast-check";
import { expect, it } from "vitest";
import { compileKnownSecrets } from "../../src/policy/dlp/known-secrets.ts";
import { type Scan, scan, scanSteps } from "../../src/policy/dlp/scan.ts";
import type { ScanPolicy } from "../../src/policy/dlp/types.ts";
import { settle } from "../../src/sidecars/egress/turns.ts";
import { unpack } from "../../src/sidecars/egress/unpack.ts";

const SEED = 20_260_711;
const SECRET = "realtoken_0123456789abcdefgh";
const policy: ScanPolicy = {
  detectors: [compileKnownSecrets([{ name: "S", value: SECRET }]).detector],
  placeholders: [],
  unpack,
};
const judge = async (bytes: Buffer): Promise<Scan> =>
  settle(scanSteps({ surface: "body", bytes }, policy));

const noise = fc.uint8Array({ maxLength: 300 }).map((it) => Buffer.from(it));
type Pack = (bytes: Buffer) => Buffer;
const packer = fc.constantFrom<Pack>(gzipSync, zstdCompressSync, deflateSync);
const wrap = fc.constantFrom<Pack>(
  (bytes) => bytes,
  (bytes) => Buffer.from(bytes.toString("base64")),
  (bytes) => Buffer.from(bytes.toString("base64url")),
  (bytes) => Buffer.from(bytes.toString("hex")),
  (bytes) => Buffer.from(encodeURIComponent(bytes.toString("base64"))),
  (bytes) => Buffer.from(JSON.stringify({ a: bytes.toString("base64") })),
);

it("hides no value, whatever stands in front of it and behind it", async () => {
  const plan = fc.record({ packer, wrap, text: noise, before: noise, after: noise });
  await fc.assert(
    fc.asyncProperty(plan, async ({ packer: pack, wrap: hide, text, before, after }) => {
      const packed = pack(Buffer.concat([text, Buffer.from(SECRET), text]));
      // zlib is known by two bytes only, so nothing stands in front of it.
      const isZlib = pack === deflateSync;
      const body = hide(Buffer.concat([isZlib ? Buffer.alloc(0) : before, packed, after]));
      expect((await judge(body)).length).toBeGreaterThan(0);
    }),
    { seed: SEED, numRuns: 250 },
  );
});

it("hides no value in front of a fault", async () => {
  const plan = fc.record({ text: noise, fault: fc.nat({ max: 7 }), after: noise });
  await fc.assert(
    fc.asyncProperty(plan, async ({ text, fault, after }) => {
      const packed = gzipSync(Buffer.concat([Buffer.from(SECRET), text]), { level: 1 });
      packed[packed.length - 1 - fault] = 0xa5;
      expect((await judge(Buffer.concat([packed, after]))).length).toBeGreaterThan(0);
    }),
    { seed: SEED, numRuns: 250 },
  );
});

it("takes any bytes, and finds in them at least what it finds without unpacking", async () => {
  const magic = fc.constantFrom(
    ...[[0x1f, 0x8b, 8], [0x28, 0xb5, 0x2f, 0xfd], [0x78, 0x9c], [0x78, 0xda], [0]].map((it) =>
      Buffer.from(it),
    ),
  );
  const plan = fc.array(fc.tuple(magic, noise), { maxLength: 6 });
  await fc.assert(
    fc.asyncProperty(plan, async (parts) => {
      const bytes = Buffer.concat(parts.flat());
      const plain = scan({ surface: "body", bytes }, policy);
      expect((await judge(bytes)).length).toBeGreaterThanOrEqual(plain.length);
    }),
    { seed: SEED, numRuns: 400 },
  );
});
