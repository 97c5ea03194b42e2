/** Layers of escapes, invisible carriers and disguised letters. Each is one pass over its input, in steps. */
import { isAscii } from "node:buffer";
import { isRunByte } from "./decode-runs.ts";
import { ESCAPES, type EscapeSyntax } from "./escapes.ts";
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
import { finish, STEP_BYTES, type Steps } from "./steps.ts";

/** Stretches around escapes and the runs that reach into them: elsewhere decoding changes nothing, and the input itself was searched. */
function* regionsOf(input: Buffer, syntax: EscapeSyntax, margin: number): Steps<readonly Range[]> {
  const widened: { start: number; end: number }[] = [];
  for (const region of yield* closeRegions(input, syntax, margin)) {
    const floor = widened.at(-1)?.end ?? 0;
    const start = yield* beginOfRun(input, region.start, floor);
    const end = yield* endOfRun(input, region.end);
    const last = widened.at(-1);
    if (last !== undefined && start <= last.end) last.end = Math.max(last.end, end);
    else widened.push({ start, end });
  }
  return widened;
}

function* beginOfRun(input: Buffer, from: number, floor: number): Steps<number> {
  let start = from;
  while (start > floor && isRunByte(input[start - 1])) {
    start -= 1;
    if ((from - start) % STEP_BYTES === 0) yield;
  }
  return start;
}

function* endOfRun(input: Buffer, from: number): Steps<number> {
  let end = from;
  while (end < input.length && isRunByte(input[end])) {
    end += 1;
    if ((end - from) % STEP_BYTES === 0) yield;
  }
  return end;
}

/** Escapes that one step looks at. */
const STEP_ESCAPES = 2048;

/** At most `margin` bytes on both sides of each escape. */
function* closeRegions(
  input: Buffer,
  syntax: EscapeSyntax,
  margin: number,
): Steps<readonly Range[]> {
  const regions: { start: number; end: number }[] = [];
  let seen = 0;
  let at = input.indexOf(syntax.mark);
  for (; at >= 0; at = input.indexOf(syntax.mark, at + 1)) {
    seen += 1;
    if (seen % STEP_ESCAPES === 0) yield;
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
  return function* decode(input, output, trace) {
    const pass: Pass = { syntax, input, output, trace };
    const cursor = { at: 0, length: 0 };
    let next = STEP_BYTES;
    for (const { start, end } of regions) {
      cursor.at = start;
      while (cursor.at < end) {
        decodeRegion(pass, cursor, Math.min(end, cursor.at + STEP_BYTES));
        if (cursor.length < next) continue;
        next = cursor.length + STEP_BYTES;
        yield;
      }
      output[cursor.length] = 0;
      cursor.length += 1;
    }
    return cursor.length;
  };
}

interface Pass {
  readonly syntax: EscapeSyntax;
  readonly input: Buffer;
  readonly output: Buffer;
  readonly trace: Trace | undefined;
}

/** Decodes up to some place, and the escape that stands across it. */
function decodeRegion(pass: Pass, cursor: { at: number; length: number }, end: number): void {
  const { syntax, input, output, trace } = pass;
  const { mark } = syntax;
  let { at, length } = cursor;
  for (; at < end; at += 1) {
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
  cursor.at = at;
  cursor.length = length;
}

/** Decodes a piece of input that begins at some place behind what was written already; gives the new length. */
type DecodePiece = (
  piece: Buffer,
  from: number,
  written: { readonly output: Buffer; readonly length: number },
  trace: Trace | undefined,
) => number;

/** Decodes piece by piece, never cutting a character in two. */
function byPieces(decodePiece: DecodePiece): Decode {
  return function* decode(input, output, trace) {
    let length = 0;
    for (let at = 0; at < input.length; ) {
      const end = pieceEnd(input, at + STEP_BYTES);
      const piece = at === 0 && end === input.length ? input : input.subarray(at, end);
      length = decodePiece(piece, at, { output, length }, trace);
      at = end;
      if (at < input.length) yield;
    }
    return length;
  };
}

/** The place itself, or the beginning of the character that stands across it. */
function pieceEnd(input: Buffer, place: number): number {
  if (place >= input.length) return input.length;
  for (let end = place; end > place - 4; end -= 1) {
    if (((input[end] ?? 0) & 0xc0) !== 0x80) return end;
  }
  return place;
}

const projectPiece: DecodePiece = (piece, from, { output, length: before }, trace) => {
  if (trace === undefined && isAscii(piece)) return projectAscii(piece, output, before);
  let length = before;
  for (let index = 0; index < piece.length; index += 1) {
    const byte = piece[index] ?? 0;
    if (byte < 0xc2) {
      output[length] = BYTE_PROJECTION[byte] ?? 0;
      trace?.set(length, from + index, from + index + 1);
      length += IS_PROJECTED[byte] ?? 0;
      continue;
    }
    const character = readCharacter(piece, index);
    const start = length;
    const place = from + index;
    length = putLetters(output, length, character);
    for (let at = start; at < length; at += 1) trace?.set(at, place, place + character.length);
    index += character.length - 1;
  }
  return length;
};

const decodeProjection: Decode = byPieces(projectPiece);

/**
 * The common case, three times as fast without a branch: each byte is written first and counted after. Three bytes a turn:
 * a shorter loop would be taken into its callers, where it stays in the slower code that small inputs made of them.
 */
function projectAscii(input: Buffer, output: Buffer, from: number): number {
  const whole = input.length - (input.length % 3);
  let length = from;
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
const decodeSelectors: Decode = byPieces((piece, from, { output, length: before }, trace) => {
  let length = before;
  for (let index = 0; index < piece.length; index += 1) {
    if ((piece[index] ?? 0) < 0xef) continue;
    const character = readCharacter(piece, index);
    const byte = selectorByte(character.code);
    if (byte >= 0) {
      output[length] = byte;
      trace?.set(length, from + index, from + index + character.length);
      length += 1;
    }
    index += character.length - 1;
  }
  return length;
});

function selectorByte(code: number): number {
  if (code >= 0xfe00 && code <= 0xfe0f) return code - 0xfe00;
  return code >= 0xe0100 && code <= 0xe01ef ? code - 0xe0100 + 16 : -1;
}

/** Letters and digits of a literal: look-alikes read as Latin, separators and invisible characters gone. */
export function projectLiteral(literal: Buffer): Buffer {
  const output = Buffer.allocUnsafe(literal.length);
  return finish(decodeLayer("separated", literal, output, decodeProjection)).bytes;
}

const short: Buffer = Buffer.alloc(STEP_BYTES);

/** The same of what one step can look at, until the next one is asked for. */
export function projectShort(input: Buffer): Buffer {
  return short.subarray(0, projectPiece(input, 0, { output: short, length: 0 }, undefined));
}

/** Longest input whose projection is written over an earlier one. */
const MAX_SHARED_BYTES: number = 1024 * 1024;
let idle: Buffer | undefined;

/** Takes the same of a layer, for as long as `use` needs it: fresh memory for each would cost more than the projection itself. */
export function* withProjection(input: Buffer, use: (layer: Layer) => Steps<void>): Steps<void> {
  const memory = takeMemory(input.length);
  const output = memory.subarray(0, input.length);
  yield* use(yield* decodeLayer("separated", input, output, decodeProjection));
  if (memory.length === MAX_SHARED_BYTES) idle = memory;
}

/** Nobody else writes to it until it is given back, because others work between the steps. */
function takeMemory(size: number): Buffer {
  if (size > MAX_SHARED_BYTES) return Buffer.allocUnsafe(size);
  const memory = idle ?? Buffer.allocUnsafeSlow(MAX_SHARED_BYTES);
  idle = undefined;
  return memory;
}

const SELECTOR_MARKS = [Buffer.from([0xef, 0xb8]), Buffer.from([0xf3, 0xa0])];

/** Whether there may be any of these layers. */
export function hasEscapes(input: Buffer): boolean {
  return (
    ESCAPES.some(({ mark }) => input.includes(mark)) ||
    (!isAscii(input) && SELECTOR_MARKS.some((mark) => input.includes(mark)))
  );
}

/** Layers of the escape syntaxes that occur in the input, as far as `margin` bytes around each escape. */
export function* escapeLayers(input: Buffer, margin: number): Steps<readonly Layer[]> {
  const layers: Layer[] = [];
  for (const syntax of ESCAPES) {
    const regions = yield* regionsOf(input, syntax, margin);
    if (regions.length === 0) continue;
    const output = Buffer.allocUnsafe(input.length + regions.length);
    const decode = decodeRegions(syntax, regions);
    layers.push(yield* decodeLayer(syntax.encoding, input, output, decode));
  }
  if (SELECTOR_MARKS.some((mark) => input.includes(mark))) {
    const output = Buffer.allocUnsafe(input.length);
    layers.push(yield* decodeLayer("selectors", input, output, decodeSelectors));
  }
  return layers;
}

const PRINTABLE: Uint8Array = Uint8Array.from({ length: 256 }, (_, byte) =>
  (byte >= 0x20 && byte < 0x7f) || byte === 0x09 || byte === 0x0a || byte === 0x0d ? 1 : 0,
);

/** Shortest stretch of text in binary data that is decoded further. */
const MIN_TEXT = 10;

/** The stretches of bytes that read as ASCII text, joined by NUL bytes; undefined when there are none. */
export function* textLayer(input: Buffer): Steps<Layer | undefined> {
  const stretches = yield* findStretches(input, PRINTABLE, MIN_TEXT);
  if (stretches.length === 0) return undefined;
  const total = stretches.reduce((sum, { start, end }) => sum + end - start + 1, 0);
  const bytes = Buffer.allocUnsafe(total);
  const pieces: Piece[] = [];
  let at = 0;
  for (const { start, end } of stretches) {
    pieces.push({ start, end, at });
    input.copy(bytes, at, start, end);
    at += end - start;
    bytes[at] = 0;
    at += 1;
    if (pieces.length % STEP_ESCAPES === 0) yield;
  }
  return joinedLayer("", bytes, pieces, true);
}
