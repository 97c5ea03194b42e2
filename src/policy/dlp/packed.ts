/**
 * Where packed data begins. The search itself does not unpack: that is done for it, because it takes time and memory. Invariant:
 * what is packed more often, or holds more, than is looked at is said to be unjudged.
 */
import { isAscii } from "node:buffer";
import type { PackedFormat } from "./types.ts";

/** First bytes of formats that are long enough to be looked for anywhere. */
const MAGICS: readonly (readonly [PackedFormat, Buffer])[] = [
  ["gzip", Buffer.from([0x1f, 0x8b, 0x08])],
  ["zstd", Buffer.from([0x28, 0xb5, 0x2f, 0xfd])],
];

/** Second byte of a zlib stream whose first one is 0x78, as every packer writes it. */
const ZLIB_LEVELS: readonly number[] = [0x01, 0x5e, 0x9c, 0xda];

/** Packed data that may begin here, up to the end of what it was found in. */
export interface Packed {
  readonly format: PackedFormat;
  readonly bytes: Buffer;
}

/** Places of zlib streams behind a zero byte, which ends each piece of what runs decode to. */
export function findPackedPieces(bytes: Buffer, limit: number): readonly Packed[] {
  const found: Packed[] = [];
  const mark = Buffer.from([0, 0x78]);
  for (let at = bytes.indexOf(mark); at >= 0; at = bytes.indexOf(mark, at + 1)) {
    const piece = bytes.subarray(at + 1);
    if (found.length < limit && packedAtStart(piece) === "zlib")
      found.push({ format: "zlib", bytes: piece });
  }
  return found;
}

/** Finds what may be packed; gives up to `limit` places. */
export function findPacked(bytes: Buffer, limit: number): readonly Packed[] {
  const found: Packed[] = [];
  const atStart = packedAtStart(bytes);
  if (atStart === "zlib") found.push({ format: atStart, bytes });
  // None of what is looked for elsewhere is.
  if (isAscii(bytes)) return found;
  for (const [format, magic] of MAGICS) {
    let at = bytes.indexOf(magic);
    for (; at >= 0 && found.length < limit; at = bytes.indexOf(magic, at + 1)) {
      found.push({ format, bytes: bytes.subarray(at) });
    }
  }
  return found;
}

/** The format that bytes begin with. The two bytes of zlib count here only: elsewhere they mean nothing. */
export function packedAtStart(bytes: Buffer): PackedFormat | undefined {
  if (bytes[0] === 0x78 && ZLIB_LEVELS.includes(bytes[1] ?? -1)) return "zlib";
  if (bytes[0] !== 0x1f && bytes[0] !== 0x28) return undefined;
  return MAGICS.find(([, magic]) => bytes.subarray(0, magic.length).equals(magic))?.[0];
}
