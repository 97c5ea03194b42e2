/**
 * Undoes one packed stream as far as that goes: a receiver that repairs a broken one reads as much. Invariant: what comes out
 * is bounded, and what is behind the stream is told.
 */
import { promisify } from "node:util";
import { systemCode } from "../../base/errors.ts";
import type { Packed } from "../../policy/dlp/packed.ts";
import type { Unpacked } from "../../policy/dlp/types.ts";
import { isInfo, MAX_DECODED_BYTES, MAX_RATIO, MIN_DECODED_BYTES } from "./decode-body.ts";

/** Length of the head of a gzip member without its optional fields, and of what stands behind its data. */
const GZIP_HEAD = 10;
const GZIP_TAIL = 8;
const ZLIB_HEAD = 2;
const ZLIB_TAIL = 4;
/** Optional fields of the head by their bit. */
const CHECKSUM = 2;
const EXTRA = 4;
const NAME = 8;
const COMMENT = 16;
/** Bits of gzip that mean nothing yet. */
const RESERVED = 0xe0;

/** Unpacks; undefined where nothing is packed. */
export async function unpack({ format, bytes }: Packed): Promise<Unpacked> {
  const head = format === "gzip" ? gzipHead(bytes) : format === "zlib" ? ZLIB_HEAD : 0;
  if (head === undefined) return undefined;
  const tail = format === "gzip" ? GZIP_TAIL : format === "zlib" ? ZLIB_TAIL : 0;
  const packed = bytes.subarray(head);
  const decode = format === "zstd" ? zstd : deflate;
  const unpacked = (await decode(packed)) ?? (await upToFault(packed, decode));
  if (unpacked === undefined || unpacked === "beyond-bounds") return unpacked;
  const end = Math.min(bytes.length, head + unpacked.end + tail);
  return unpacked.bytes.length === 0 ? undefined : { bytes: unpacked.bytes, end };
}

/** Length of the head of a gzip member; undefined where it is none. */
function gzipHead(bytes: Buffer): number | undefined {
  const flags = bytes[3] ?? RESERVED;
  if ((flags & RESERVED) !== 0) return undefined;
  let at = GZIP_HEAD;
  if ((flags & EXTRA) !== 0) at += 2 + (bytes[at] ?? 0) + (bytes[at + 1] ?? 0) * 256;
  for (const bit of [NAME, COMMENT]) {
    if ((flags & bit) === 0) continue;
    const end = bytes.indexOf(0, at);
    if (end < 0) return undefined;
    at = end + 1;
  }
  if ((flags & CHECKSUM) !== 0) at += 2;
  return at < bytes.length ? at : undefined;
}

/** Undefined where the data is broken. */
type Decode = (packed: Buffer) => Promise<Unpacked>;

const limitOf = (packed: Buffer): number =>
  Math.min(MAX_DECODED_BYTES, Math.max(MIN_DECODED_BYTES, packed.length * MAX_RATIO));

/** A stream that is cut off gives what it has. */
async function deflate(packed: Buffer): Promise<Unpacked> {
  const zlib = process.getBuiltinModule("node:zlib");
  const options = { info: true, maxOutputLength: limitOf(packed) };
  const finishFlush = zlib.constants.Z_SYNC_FLUSH;
  return settled(promisify(zlib.inflateRaw)(packed, { ...options, finishFlush }));
}

async function zstd(packed: Buffer): Promise<Unpacked> {
  const zlib = process.getBuiltinModule("node:zlib");
  const options = { info: true, maxOutputLength: limitOf(packed) };
  const finishFlush = zlib.constants.ZSTD_e_flush;
  return settled(promisify(zlib.zstdDecompress)(packed, { ...options, finishFlush }));
}

async function settled(unpacking: Promise<unknown>): Promise<Unpacked> {
  try {
    const result = await unpacking;
    if (!isInfo(result)) return undefined;
    return { bytes: result.buffer, end: result.engine.bytesWritten };
  } catch (error) {
    const code = systemCode(error);
    if (code === undefined) throw error;
    return code === "ERR_BUFFER_TOO_LARGE" ? "beyond-bounds" : undefined;
  }
}

/** Finds how far broken data can be read, by halving: nothing is given for the part in which the fault lies. */
async function upToFault(packed: Buffer, decode: Decode): Promise<Unpacked> {
  let good: Unpacked;
  let low = 0;
  let high = packed.length;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    const unpacked = await decode(packed.subarray(0, middle));
    if (unpacked === "beyond-bounds") return unpacked;
    if (unpacked === undefined) high = middle;
    else {
      good = unpacked;
      low = middle;
    }
  }
  return good;
}
