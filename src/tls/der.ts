/** The part of DER that certificates need: an encoder of values and a reader that walks them, with bounds checked. */

/** Universal tags used in certificates. */
export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  utf8String: 0x0c,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

/** One value: tag, length and content. */
export function encodeTlv(tag: number, ...content: readonly Uint8Array[]): Buffer {
  const body = content.length === 1 ? (content[0] ?? Buffer.alloc(0)) : Buffer.concat(content);
  return Buffer.concat([Buffer.from([tag]), encodeLength(body.length), body]);
}

function encodeLength(length: number): Buffer {
  if (length < 0x80) return Buffer.from([length]);
  const bytes: number[] = [];
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) bytes.unshift(rest % 256);
  return Buffer.from([0x80 | bytes.length, ...bytes]);
}

/** SEQUENCE of encoded values. */
export const sequence = (...items: readonly Uint8Array[]): Buffer =>
  encodeTlv(TAG.sequence, ...items);

/** OBJECT IDENTIFIER from its dotted form. */
export function oid(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split(".").map(Number);
  const bytes = [first * 40 + second];
  for (const arc of rest) {
    const digits = [arc % 128];
    for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128)) {
      digits.unshift(0x80 | (left % 128));
    }
    bytes.push(...digits);
  }
  return encodeTlv(TAG.oid, Buffer.from(bytes));
}

/** Non-negative INTEGER from its big-endian bytes, in the shortest form. */
export function integer(bytes: Uint8Array): Buffer {
  let start = 0;
  while (start < bytes.length - 1 && bytes[start] === 0) start += 1;
  const shortest = bytes.subarray(start);
  const needsZero = ((shortest[0] ?? 0) & 0x80) !== 0;
  return encodeTlv(TAG.integer, needsZero ? Buffer.concat([Buffer.alloc(1), shortest]) : shortest);
}

/** BIT STRING of whole bytes. */
export const bitString = (bytes: Uint8Array, unusedBits = 0): Buffer =>
  encodeTlv(TAG.bitString, Buffer.from([unusedBits]), bytes);

/** Time of a certificate: UTCTime up to 2049, GeneralizedTime from 2050 (RFC 5280, 4.1.2.5). */
export function time(epochMs: number): Buffer {
  const date = new Date(epochMs);
  const digits = date.toISOString().replace(/[-:T]|\.\d+Z$/g, "");
  const isShort = date.getUTCFullYear() < 2050;
  const text = `${isShort ? digits.slice(2) : digits}Z`;
  return encodeTlv(isShort ? TAG.utcTime : TAG.generalizedTime, Buffer.from(text, "latin1"));
}

/** One value that was read; `raw` includes tag and length. */
export interface Tlv {
  readonly tag: number;
  readonly raw: Buffer;
  readonly content: Buffer;
}

/** Reads the values that stand one after another in `bytes`; undefined when they do not fill it exactly. */
export function readTlvs(bytes: Buffer): readonly Tlv[] | undefined {
  const found: Tlv[] = [];
  let at = 0;
  while (at < bytes.length) {
    const header = readHeader(bytes, at);
    if (header === undefined || header.end > bytes.length) return undefined;
    const { tag, start, end } = header;
    found.push({ tag, raw: bytes.subarray(at, end), content: bytes.subarray(start, end) });
    at = end;
  }
  return found;
}

function readHeader(
  bytes: Buffer,
  at: number,
): { tag: number; start: number; end: number } | undefined {
  const tag = bytes[at];
  const first = bytes[at + 1];
  if (tag === undefined || first === undefined) return undefined;
  if (first < 0x80) return { tag, start: at + 2, end: at + 2 + first };
  const count = first & 0x7f;
  if (count === 0 || count > 4 || at + 2 + count > bytes.length) return undefined;
  const length = bytes.readUIntBE(at + 2, count);
  return { tag, start: at + 2 + count, end: at + 2 + count + length };
}
