/** Undoes content encodings so that a body can be judged, within bounds of size and ratio. What cannot be undone is not judged. */
import { promisify } from "node:util";
import { systemCode } from "../../base/errors.ts";

/** Longest body after decoding. */
export const MAX_DECODED_BYTES: number = 8 * 1024 * 1024;
/** A body that grows more than this is a bomb; text in a common log format compresses 20 to 40 times. */
export const MAX_RATIO = 100;
/** Growth up to this size is never counted as a bomb. */
export const MIN_DECODED_BYTES: number = 256 * 1024;
/** Encodings on top of each other: servers take one, seldom two, and each costs a body of memory. */
export const MAX_LAYERS = 3;

/** The content codings of a message, outermost last; empty when there is none. */
export function codingsOf(values: readonly string[]): readonly string[] {
  return values
    .flatMap((value) => value.split(","))
    .map((coding) => coding.trim().toLowerCase())
    .filter((coding) => coding !== "" && coding !== "identity");
}

/** Most bytes that a body of some length may be decoded to. */
export const decodedLimit = (length: number): number =>
  Math.min(MAX_DECODED_BYTES, Math.max(MIN_DECODED_BYTES, length * MAX_RATIO));

/** Decodes a body; undefined when a coding is unknown, the data is broken, or a bound is passed. */
export async function decodeBody(
  body: Buffer,
  codings: readonly string[],
): Promise<Buffer | undefined> {
  if (codings.length > MAX_LAYERS) return undefined;
  const limit = decodedLimit(body.length);
  let bytes = body;
  for (const coding of codings.toReversed()) {
    const decoded = await decodeOne(bytes, coding, limit);
    if (decoded === undefined) return undefined;
    bytes = decoded;
  }
  return bytes;
}

/** Undefined also where something stands behind the encoded data: decoders ignore it, and somebody else may not. */
async function decodeOne(
  bytes: Buffer,
  coding: string,
  limit: number,
): Promise<Buffer | undefined> {
  for (const decode of decodersOf(coding)) {
    try {
      const result: unknown = await decode(bytes, { info: true, maxOutputLength: limit });
      if (isInfo(result) && result.engine.bytesWritten >= bytes.length) return result.buffer;
    } catch (error) {
      // Broken data and passed bounds have codes of zlib; anything else is a fault of ours.
      if (systemCode(error) === undefined) throw error;
    }
  }
  return undefined;
}

/** What the platform's decoders give when asked how far they have read. */
export interface DecodeInfo {
  readonly buffer: Buffer;
  readonly engine: { readonly bytesWritten: number };
}

/** Whether it is what was asked for. */
export function isInfo(result: unknown): result is DecodeInfo {
  return typeof result === "object" && result !== null && "engine" in result;
}

interface DecodeOptions {
  readonly info: true;
  readonly maxOutputLength: number;
}

type Decode = (bytes: Buffer, options: DecodeOptions) => Promise<unknown>;

/** What undoes a coding, tried in this order. Loaded on first use: most requests are not encoded. */
function decodersOf(coding: string): readonly Decode[] {
  const zlib = process.getBuiltinModule("node:zlib");
  switch (coding) {
    case "gzip":
    case "x-gzip":
      return [promisify(zlib.gunzip)];
    case "deflate":
      // Some clients send the bare stream under this name (RFC 9110, 8.4.1.2).
      return [promisify(zlib.inflate), promisify(zlib.inflateRaw)];
    case "br":
      return [promisify(zlib.brotliDecompress)];
    case "zstd":
      return [promisify(zlib.zstdDecompress)];
    default:
      return [];
  }
}
