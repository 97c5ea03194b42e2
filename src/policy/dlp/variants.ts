/** All literal spellings of a secret value that are searched for. Letter case needs no variants: matching folds it. */

/** One spelling. */
export interface Variant {
  readonly encoding: string;
  readonly bytes: Buffer;
}

const BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

const ascii = (encoding: string, text: string): Variant => ({
  encoding,
  bytes: Buffer.from(text, "latin1"),
});

/** The characters of an encoding that depend on the value alone, when `pad` unknown bytes stand before it. */
function aligned(
  bytes: Buffer,
  pad: number,
  codec: { readonly bits: number; readonly encode: (bytes: Buffer) => string },
): string {
  const text = codec.encode(Buffer.concat([Buffer.alloc(pad), bytes]));
  const first = Math.ceil((pad * 8) / codec.bits);
  const end = Math.floor(((pad + bytes.length) * 8) / codec.bits);
  return text.slice(first, end);
}

const BASE64_CODEC = { bits: 6, encode: (bytes: Buffer): string => bytes.toString("base64") };
const BASE32_CODEC = { bits: 5, encode: encodeBase32 };

function encodeBase32(bytes: Buffer): string {
  let text = "";
  let held = 0;
  let bits = 0;
  for (const byte of bytes) {
    held = ((held << 8) | byte) & 0xfff;
    bits += 8;
    for (; bits >= 5; bits -= 5) text += BASE32[(held >> (bits - 5)) & 31];
  }
  return bits === 0 ? text : text + (BASE32[(held << (5 - bits)) & 31] ?? "");
}

const hexOf = (byte: number): string => byte.toString(16).padStart(2, "0");

function escapes(value: string, bytes: Buffer): Variant[] {
  const units = Array.from({ length: value.length }, (_, index) => value.charCodeAt(index));
  const json = JSON.stringify(value).slice(1, -1);
  return [
    ascii("percent", percentEncode(value)),
    ascii("percent", percentEncode(value).replaceAll("%20", "+")),
    ascii("percent", [...bytes].map((byte) => `%${hexOf(byte)}`).join("")),
    { encoding: "json", bytes: Buffer.from(json) },
    { encoding: "json", bytes: Buffer.from(json.replaceAll("/", "\\/")) },
    ascii("json", units.map((unit) => `\\u${unit.toString(16).padStart(4, "0")}`).join("")),
    ascii("hex", [...bytes].map((byte) => `\\x${hexOf(byte)}`).join("")),
    ascii("entities", [...bytes].map((byte) => `&#${byte};`).join("")),
    ascii("entities", [...bytes].map((byte) => `&#x${hexOf(byte)};`).join("")),
  ];
}

/** `encodeURIComponent` that does not throw on a lone surrogate. */
const percentEncode = (value: string): string => encodeURIComponent(value.toWellFormed());

/** Every spelling of a value: plain, UTF-16, percent, JSON, entities, hex, base64 and base32 at every alignment. */
export function variantsOf(value: string): readonly Variant[] {
  const bytes = Buffer.from(value, "utf8");
  const wide = Buffer.from(value, "utf16le");
  return [
    { encoding: "plain", bytes },
    { encoding: "utf-16", bytes: wide },
    { encoding: "utf-16", bytes: Buffer.from(wide).swap16() },
    ascii("hex", bytes.toString("hex")),
    ...escapes(value, bytes),
    ...[0, 1, 2].map((pad) => ascii("base64", aligned(bytes, pad, BASE64_CODEC))),
    ...[0, 1, 2, 3, 4].map((pad) => ascii("base32", aligned(bytes, pad, BASE32_CODEC))),
  ];
}
