/** Undoes content encodings so that a body can be judged, within bounds of size and ratio. What cannot be undone is not judged. */
import { promisify } from "node:util";
import { systemCode } from "../../base/errors.ts";

/** Longest body after decoding. */
export const MAX_DECODED_BYTES: number = 8 * 1024 * 1024;
/** A body that grows more than this is a bomb; text in a common log format compresses 20 to 40 times. */
export const MAX_RATIO = 100;
/** Growth up to this size is never counted as a bomb. */
const MIN_DECODED_BYTES: number = 256 * 1024;
/** Encodings on top of each other. */
const MAX_LAYERS = 3;

type Decoder = (bytes: Buffer, maxOutputLength: number) => Promise<Buffer>;

/** The content codings of a message, outermost last; empty when there is none. */
export function codingsOf(values: readonly string[]): readonly string[] {
  return values
    .flatMap((value) => value.split(","))
    .map((coding) => coding.trim().toLowerCase())
    .filter((coding) => coding !== "" && coding !== "identity");
}

/** Decodes a body; undefined when a coding is unknown, the data is broken, or a bound is passed. */
export async function decodeBody(
  body: Buffer,
  codings: readonly string[],
): Promise<Buffer | undefined> {
  if (codings.length > MAX_LAYERS) return undefined;
  const growth = Math.max(MIN_DECODED_BYTES, body.length * MAX_RATIO);
  const limit = Math.min(MAX_DECODED_BYTES, growth);
  let bytes = body;
  for (const coding of codings.toReversed()) {
    const decoded = await decodeOne(bytes, coding, limit);
    if (decoded === undefined) return undefined;
    bytes = decoded;
  }
  return bytes;
}

async function decodeOne(
  bytes: Buffer,
  coding: string,
  limit: number,
): Promise<Buffer | undefined> {
  try {
    return await decoderOf(coding)?.(bytes, limit);
  } catch (error) {
    // Broken data and passed bounds have codes of zlib; anything else is a fault of ours.
    if (systemCode(error) === undefined) throw error;
    return undefined;
  }
}

/** Loaded on first use: most requests are not encoded. */
function decoderOf(coding: string): Decoder | undefined {
  const zlib = process.getBuiltinModule("node:zlib");
  const gunzip = promisify<Buffer, { maxOutputLength: number }, Buffer>(zlib.gunzip);
  const inflate = promisify<Buffer, { maxOutputLength: number }, Buffer>(zlib.inflate);
  const inflateRaw = promisify<Buffer, { maxOutputLength: number }, Buffer>(zlib.inflateRaw);
  const brotli = promisify<Buffer, { maxOutputLength: number }, Buffer>(zlib.brotliDecompress);
  const zstd = promisify<Buffer, { maxOutputLength: number }, Buffer>(zlib.zstdDecompress);
  switch (coding) {
    case "gzip":
    case "x-gzip":
      return (bytes, maxOutputLength) => gunzip(bytes, { maxOutputLength });
    case "deflate":
      // Some clients send the bare stream under this name (RFC 9110, 8.4.1.2).
      return (bytes, maxOutputLength) =>
        inflate(bytes, { maxOutputLength }).catch(() => inflateRaw(bytes, { maxOutputLength }));
    case "br":
      return (bytes, maxOutputLength) => brotli(bytes, { maxOutputLength });
    case "zstd":
      return (bytes, maxOutputLength) => zstd(bytes, { maxOutputLength });
    default:
      return undefined;
  }
}
