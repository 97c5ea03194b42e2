/** Decoders of escapes, invisible carriers and disguised letters. Each is one pass over its input. */
import { isAscii } from "node:buffer";
import { isRunByte } from "./decode-runs.ts";
import { BYTE_PROJECTION, foldCharacter, readCharacter } from "./fold.ts";
import {
  type Decode,
  decodeLayer,
  findStretches,
  joinedLayer,
  type Layer,
  type Piece,
  type Range,
  type Trace,
} from "./layer.ts";

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

interface EscapeSyntax {
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

/** HTML and XML character references with a number. */
const REFERENCE: EscapeSyntax = {
  encoding: "entities",
  mark: 0x26,
  read: (input, at) => {
    if (input[at + 1] !== 0x23) return undefined;
    const text = input.toString("latin1", at, at + 12);
    const match = /^&#(?:x([0-9a-f]{1,6})|([0-9]{1,7}));/i.exec(text);
    if (match === null) return undefined;
    const [whole, hex, decimal] = match;
    const code = hex === undefined ? Number(decimal) : Number.parseInt(hex, 16);
    if (code > 0x10_ffff) return undefined;
    return { bytes: Buffer.from(String.fromCodePoint(code)), length: whole.length };
  },
};

/** Stretches around escapes and the runs that reach into them: elsewhere decoding changes nothing, and the input itself was searched. */
function regionsOf(input: Buffer, syntax: EscapeSyntax, margin: number): readonly Range[] {
  const widened: { start: number; end: number }[] = [];
  for (const region of closeRegions(input, syntax, margin)) {
    const floor = widened.at(-1)?.end ?? 0;
    let { start, end } = region;
    while (start > floor && isRunByte(input[start - 1])) start -= 1;
    while (end < input.length && isRunByte(input[end])) end += 1;
    const last = widened.at(-1);
    if (last !== undefined && start <= last.end) last.end = Math.max(last.end, end);
    else widened.push({ start, end });
  }
  return widened;
}

/** At most `margin` bytes on both sides of each escape. */
function closeRegions(input: Buffer, syntax: EscapeSyntax, margin: number): readonly Range[] {
  const regions: { start: number; end: number }[] = [];
  let at = input.indexOf(syntax.mark);
  for (; at >= 0; at = input.indexOf(syntax.mark, at + 1)) {
    if (syntax.read(input, at) === undefined) continue;
    const end = Math.min(input.length, at + margin);
    const last = regions.at(-1);
    if (last !== undefined && at - margin <= last.end) last.end = end;
    else regions.push({ start: Math.max(0, at - margin), end });
  }
  return regions;
}

/** Decodes regions one after another, a NUL byte behind each. */
function decodeRegions(syntax: EscapeSyntax, regions: readonly Range[]): Decode {
  return (input, output, trace) => {
    let length = 0;
    for (const region of regions) {
      length = decodeRegion({ syntax, input, output, trace }, region, length);
      output[length] = 0;
      length += 1;
    }
    return length;
  };
}

interface Pass {
  readonly syntax: EscapeSyntax;
  readonly input: Buffer;
  readonly output: Buffer;
  readonly trace: Trace | undefined;
}

function decodeRegion(pass: Pass, region: Range, from: number): number {
  const { syntax, input, output, trace } = pass;
  const { mark } = syntax;
  let length = from;
  for (let at = region.start; at < region.end; at += 1) {
    const byte = input[at] ?? 0;
    const escape = byte === mark ? syntax.read(input, at) : undefined;
    if (escape === undefined) {
      output[length] = byte;
      trace?.set(length, at, at + 1);
      length += 1;
      continue;
    }
    for (const decoded of escape.bytes) {
      output[length] = decoded;
      trace?.set(length, at, at + escape.length);
      length += 1;
    }
    at += escape.length - 1;
  }
  return length;
}

const decodeProjection: Decode = (input, output, trace) => {
  if (trace === undefined && isAscii(input)) return projectAscii(input, output);
  let length = 0;
  for (let index = 0; index < input.length; index += 1) {
    const byte = input[index] ?? 0;
    if (byte < 0xc2) {
      output[length] = BYTE_PROJECTION[byte] ?? 0;
      if (trace !== undefined) trace.set(length, index, index + 1);
      length += IS_PROJECTED[byte] ?? 0;
      continue;
    }
    const character = readCharacter(input, index);
    const start = length;
    length = putLetters(output, length, character);
    for (let at = start; at < length; at += 1) trace?.set(at, index, index + character.length);
    index += character.length - 1;
  }
  return length;
};

/**
 * The common case, three times as fast without a branch: each byte is written first and counted after. Three bytes a turn:
 * a shorter loop would be taken into its callers, where it stays in the slower code that small inputs made of them.
 */
function projectAscii(input: Buffer, output: Buffer): number {
  const whole = input.length - (input.length % 3);
  let length = 0;
  let entry = 0;
  for (let index = 0; index < whole; index += 3) {
    entry = PROJECTION[input[index] ?? 0] ?? 0;
    output[length] = entry;
    length += entry >> 8;
    entry = PROJECTION[input[index + 1] ?? 0] ?? 0;
    output[length] = entry;
    length += entry >> 8;
    entry = PROJECTION[input[index + 2] ?? 0] ?? 0;
    output[length] = entry;
    length += entry >> 8;
  }
  for (let index = whole; index < input.length; index += 1) {
    entry = PROJECTION[input[index] ?? 0] ?? 0;
    output[length] = entry;
    length += entry >> 8;
  }
  return length;
}

const IS_PROJECTED = BYTE_PROJECTION.map((byte) => (byte === 0 ? 0 : 1));

/** Both tables in one: what a byte becomes, and above it whether it counts. */
const PROJECTION: Uint16Array = Uint16Array.from(
  BYTE_PROJECTION,
  (byte, index) => byte | ((IS_PROJECTED[index] ?? 0) << 8),
);

/** Writes what a character stands for: never more letters than it has bytes, so that the output cannot outgrow the input. */
function putLetters(
  output: Buffer,
  from: number,
  character: { readonly code: number; readonly length: number },
): number {
  const ascii = foldCharacter(character.code);
  const count = Math.min(ascii.length, character.length);
  for (let at = 0; at < count; at += 1) output[from + at] = ascii.charCodeAt(at);
  return from + count;
}

/** Variation selectors carry one byte each, unseen behind any character. */
const decodeSelectors: Decode = (input, output, trace) => {
  let length = 0;
  for (let index = 0; index < input.length; index += 1) {
    if ((input[index] ?? 0) < 0xef) continue;
    const character = readCharacter(input, index);
    const byte = selectorByte(character.code);
    if (byte >= 0) {
      output[length] = byte;
      trace?.set(length, index, index + character.length);
      length += 1;
    }
    index += character.length - 1;
  }
  return length;
};

function selectorByte(code: number): number {
  if (code >= 0xfe00 && code <= 0xfe0f) return code - 0xfe00;
  return code >= 0xe0100 && code <= 0xe01ef ? code - 0xe0100 + 16 : -1;
}

/** Letters and digits alone: look-alikes read as Latin, separators and invisible characters gone. */
export function projectLayer(input: Buffer): Layer {
  return decodeLayer("separated", input, Buffer.allocUnsafe(input.length), decodeProjection);
}

/** Longest input whose projection is written over the one before it. */
const MAX_SHARED_BYTES: number = 1024 * 1024;
let shared = Buffer.alloc(0);

/**
 * The same for a caller that is done with one projection before it makes the next: fresh memory for each would cost more
 * than the projection itself.
 */
export function shareProjection(input: Buffer): Layer {
  if (input.length > MAX_SHARED_BYTES) return projectLayer(input);
  if (shared.length < input.length) shared = Buffer.allocUnsafeSlow(MAX_SHARED_BYTES);
  return decodeLayer("separated", input, shared.subarray(0, input.length), decodeProjection);
}

const SELECTOR_MARKS = [Buffer.from([0xef, 0xb8]), Buffer.from([0xf3, 0xa0])];

/** Layers of the escape syntaxes that occur in the input, as far as `margin` bytes around each escape. */
export function escapeLayers(input: Buffer, margin: number): readonly Layer[] {
  const layers: Layer[] = [];
  for (const syntax of [PERCENT, BACKSLASH, REFERENCE]) {
    const regions = regionsOf(input, syntax, margin);
    if (regions.length === 0) continue;
    const capacity = input.length + regions.length;
    const output = Buffer.allocUnsafe(capacity);
    layers.push(decodeLayer(syntax.encoding, input, output, decodeRegions(syntax, regions)));
  }
  if (SELECTOR_MARKS.some((mark) => input.includes(mark))) {
    layers.push(decodeLayer("selectors", input, Buffer.allocUnsafe(input.length), decodeSelectors));
  }
  return layers;
}

const NUL = Buffer.alloc(1);

const PRINTABLE: Uint8Array = Uint8Array.from({ length: 256 }, (_, byte) =>
  (byte >= 0x20 && byte < 0x7f) || byte === 0x09 || byte === 0x0a || byte === 0x0d ? 1 : 0,
);

/** Shortest stretch of text in binary data that is decoded further. */
const MIN_TEXT = 10;

/** The stretches of bytes that read as ASCII text, joined by NUL bytes; undefined when there are none. */
export function textLayer(input: Buffer): Layer | undefined {
  const pieces: Piece[] = [];
  const parts: Buffer[] = [];
  let at = 0;
  for (const { start, end } of findStretches(input, PRINTABLE, MIN_TEXT)) {
    pieces.push({ start, end, at });
    parts.push(input.subarray(start, end), NUL);
    at += end - start + 1;
  }
  return pieces.length === 0 ? undefined : joinedLayer("", Buffer.concat(parts), pieces, true);
}
