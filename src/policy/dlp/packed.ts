/**
 * Where packed data begins. The search itself does not unpack: that is done for it, because it takes time and memory. Invariant:
 * what is packed more often, or holds more, than is looked at is said to be unjudged.
 */
import { isAscii, isUtf8 } from "node:buffer";
import type { PackedFormat } from "./types.ts";

/** First bytes of formats that are long enough to be looked for anywhere. */
const MAGICS: readonly (readonly [PackedFormat, Buffer])[] = [
  ["gzip", Buffer.from([0x1f, 0x8b, 0x08])],
  ["zstd", Buffer.from([0x28, 0xb5, 0x2f, 0xfd])],
];

/** Second byte of a zlib stream whose first one is 0x78, as every packer writes it. */
const ZLIB_LEVELS: readonly number[] = [0x01, 0x5e, 0x9c, 0xda];

/** Bytes of a zlib stream that show that it is no text. */
const ZLIB_GLANCE = 64;

/** Packed data that may begin here, up to the end of what it was found in. */
export interface Packed {
  readonly format: PackedFormat;
  readonly bytes: Buffer;
}

/** What ends each piece of what runs decode to. */
export const BEHIND_PIECES: ReadonlySet<number> = new Set([0]);
/** What stands before a value in a form, in JSON or in a line: where escapes were undone, bytes may begin there. */
export const BEHIND_DELIMITERS: ReadonlySet<number> = new Set(Buffer.from('\0="&:,; \n'));

/** Finds zlib streams behind one of some bytes; gives up to `limit` places. */
export function findZlib(
  bytes: Buffer,
  limit: number,
  before: ReadonlySet<number>,
): readonly Packed[] {
  const found: Packed[] = [];
  if (isAscii(bytes)) return found;
  for (const level of ZLIB_LEVELS) {
    const head = Buffer.from([0x78, level]);
    let at = bytes.indexOf(head, 1);
    for (; at >= 0 && found.length < limit; at = bytes.indexOf(head, at + 1)) {
      const piece = bytes.subarray(at);
      if (before.has(bytes[at - 1] ?? -1) && !readsAsText(piece)) {
        found.push({ format: "zlib", bytes: piece });
      }
    }
  }
  return found;
}

/** Texts have `x^2` in many places; what a packer wrote is no UTF-8. The glance may end within a character. */
function readsAsText(piece: Buffer): boolean {
  return [0, 1, 2, 3].some((cut) => isUtf8(piece.subarray(0, ZLIB_GLANCE - cut)));
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
