/** Escapes as texts have them: by percent, by backslash, by number. Whatever only looks like one stands for itself. */

function hexDigit(byte: number | undefined): number {
  if (byte === undefined) return -1;
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}

function readHex(bytes: Buffer, index: number, digits: number): number {
  let value = 0;
  for (let at = index; at < index + digits; at += 1) {
    const digit = hexDigit(bytes[at]);
    if (digit < 0) return -1;
    value = value * 16 + digit;
  }
  return value;
}

/** One escape: what it stands for, and its length in the input. */
interface Escape {
  readonly bytes: Uint8Array;
  readonly length: number;
}

/** How one kind of escapes is written. */
export interface EscapeSyntax {
  readonly encoding: string;
  /** The byte that begins an escape. */
  readonly mark: number;
  read(input: Buffer, at: number): Escape | undefined;
}

const SINGLE = Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte));
const single = (byte: number): Uint8Array => SINGLE[byte] ?? Uint8Array.of(byte);

const PERCENT: EscapeSyntax = {
  encoding: "percent",
  mark: 0x25,
  read: (input, at) => {
    const code = readHex(input, at + 1, 2);
    return code < 0 ? undefined : { bytes: single(code), length: 3 };
  },
};

/** What a one-letter escape stands for in JSON, JavaScript and C. */
const LETTERS: ReadonlyMap<number, number> = new Map([
  [0x62, 0x08],
  [0x66, 0x0c],
  [0x6e, 0x0a],
  [0x72, 0x0d],
  [0x74, 0x09],
]);

const BACKSLASH: EscapeSyntax = {
  encoding: "json",
  mark: 0x5c,
  read: (input, at) => {
    const letter = input[at + 1];
    if (letter === undefined) return undefined;
    const digits = letter === 0x75 ? 4 : letter === 0x78 ? 2 : 0;
    const code = digits === 0 ? -1 : readHex(input, at + 2, digits);
    if (code < 0) return { bytes: single(LETTERS.get(letter) ?? letter), length: 2 };
    const bytes = code < 0x80 ? single(code) : Buffer.from(String.fromCharCode(code), "utf8");
    return { bytes, length: 2 + digits };
  },
};

/** Digits of the longest number that a reference may have, with zeros in front. */
const MAX_REFERENCE_DIGITS = 7;

/** HTML and XML character references with a number. */
const REFERENCE: EscapeSyntax = {
  encoding: "entities",
  mark: 0x26,
  read: (input, at) => {
    if (input[at + 1] !== 0x23) return undefined;
    const isHex = ((input[at + 2] ?? 0) | 0x20) === 0x78;
    const base = isHex ? 16 : 10;
    const first = at + (isHex ? 3 : 2);
    let code = 0;
    let end = first;
    for (; end < first + MAX_REFERENCE_DIGITS; end += 1) {
      const digit = hexDigit(input[end]);
      if (digit < 0 || digit >= base) break;
      code = code * base + digit;
    }
    if (end === first || input[end] !== 0x3b || code > 0x10_ffff) return undefined;
    const bytes = code < 0x80 ? single(code) : Buffer.from(String.fromCodePoint(code));
    return { bytes, length: end + 1 - at };
  },
};

/** All kinds that are undone. */
export const ESCAPES: readonly EscapeSyntax[] = [PERCENT, BACKSLASH, REFERENCE];
