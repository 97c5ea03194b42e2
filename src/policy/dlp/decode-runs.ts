/**
 * Decodes long runs of base64, hexadecimal and base32 text at every alignment: what stands before a run on purpose must
 * not shift it out of sight.
 */
import {
  findStretches,
  hasStretch,
  joinedLayer,
  type Layer,
  type Piece,
  type Range,
} from "./layer.ts";
import { STEP_BYTES, type Steps } from "./steps.ts";

/** Shortest run that is decoded. Eight bytes in hexadecimal inside base64 have this many whole characters. */
export const MIN_RUN_LENGTH = 20;

/** Value of each character; -1 ends a run, -2 is a line break inside it. */
function makeAlphabet(...spellings: readonly string[]): Int8Array {
  const table = new Int8Array(256).fill(-1);
  for (const spelling of spellings) {
    for (const [value, byte] of Buffer.from(spelling, "latin1").entries()) table[byte] = value;
  }
  table[0x0a] = -2;
  table[0x0d] = -2;
  return table;
}

const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const BASE64 = makeAlphabet(`${LETTERS}+/`, `${LETTERS}-_`);
const HEX = makeAlphabet("0123456789abcdef", "0123456789ABCDEF");
// One letter case each: taken together they would fit most of any base64 text.
const BASE32_UPPER = makeAlphabet("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567");
const BASE32_LOWER = makeAlphabet("abcdefghijklmnopqrstuvwxyz234567");

/** True for a byte that a run of base64, the widest alphabet, may have inside. */
export const isRunByte = (byte: number | undefined): boolean =>
  byte !== undefined && BASE64[byte] !== -1;

interface Codec {
  readonly encoding: string;
  readonly alphabet: Int8Array;
  readonly bits: number;
  /** How many characters may stand before the first whole group. */
  readonly alignments: number;
}

const CODECS: readonly Codec[] = [
  { encoding: "base64", alphabet: BASE64, bits: 6, alignments: 4 },
  { encoding: "hex", alphabet: HEX, bits: 4, alignments: 2 },
  { encoding: "base32", alphabet: BASE32_UPPER, bits: 5, alignments: 8 },
  { encoding: "base32", alphabet: BASE32_LOWER, bits: 5, alignments: 8 },
];

const marksOf = (alphabet: Int8Array): Uint8Array =>
  Uint8Array.from(alphabet, (value) => (value === -1 ? 0 : 1));

const BASE64_MARKS: Uint8Array = marksOf(BASE64);
const MARKS: ReadonlyMap<Codec, Uint8Array> = new Map(
  CODECS.map((codec) => [codec, marksOf(codec.alphabet)]),
);

/** Runs of a codec's alphabet; line breaks may stand inside. */
function findRuns(codec: Codec, input: Buffer): Steps<readonly Range[]> {
  return findStretches(input, MARKS.get(codec) ?? new Uint8Array(256), MIN_RUN_LENGTH);
}

/** Decoded bytes that grow. */
interface Output {
  readonly bytes: Buffer;
  length: number;
}

/** Decodes one run from a number of characters on, as far as it is given. */
class RunDecoder {
  readonly #codec: Codec;
  #skip: number;
  #held = 0;
  #count = 0;

  constructor(codec: Codec, skip: number) {
    this.#codec = codec;
    this.#skip = skip;
  }

  decode(input: Buffer, { start, end }: Range, output: Output): void {
    const { alphabet, bits } = this.#codec;
    const { bytes } = output;
    let { length } = output;
    let held = this.#held;
    let count = this.#count;
    for (let at = start; at < end; at += 1) {
      const value = alphabet[input[at] ?? 0] ?? -1;
      if (value < 0) continue;
      if (this.#skip > 0) {
        this.#skip -= 1;
        continue;
      }
      held = ((held << bits) | value) & 0xffff;
      count += bits;
      if (count < 8) continue;
      count -= 8;
      bytes[length] = held >> count;
      length += 1;
    }
    this.#held = held;
    this.#count = count;
    output.length = length;
  }
}

/** A range cut into pieces of a step each. */
function* cut({ start, end }: Range): Generator<Range, void, undefined> {
  for (let at = start; at < end; at += STEP_BYTES) {
    yield { start: at, end: Math.min(end, at + STEP_BYTES) };
  }
}

function decodeShort(codec: Codec, input: Buffer, run: Range, output: Output): void {
  for (let skip = 0; skip < codec.alignments; skip += 1) {
    new RunDecoder(codec, skip).decode(input, run, output);
    endPiece(output);
  }
}

function* decodeLong(codec: Codec, input: Buffer, run: Range, output: Output): Steps<void> {
  for (let skip = 0; skip < codec.alignments; skip += 1) {
    const decoder = new RunDecoder(codec, skip);
    for (const part of cut(run)) {
      decoder.decode(input, part, output);
      yield;
    }
    endPiece(output);
  }
}

function endPiece(output: Output): void {
  output.bytes[output.length] = 0;
  output.length += 1;
}

/** From this length on the platform's decoder is faster than ours. */
const MIN_NATIVE_LENGTH = 128;

function* decodeNative(input: Buffer, run: Range, output: Output): Steps<void> {
  const texts: string[] = [];
  for (const { start, end } of cut(run)) {
    texts.push(input.toString("latin1", start, end).replace(/[\r\n]+/g, ""));
    if (end < run.end) yield;
  }
  for (let skip = 0; skip < 4; skip += 1) {
    let left = skip;
    let rest = "";
    for (const text of texts) {
      const skipped = Math.min(left, text.length);
      left -= skipped;
      const open = rest + text.slice(skipped);
      const whole = open.length - (open.length % 4);
      output.length += output.bytes.write(open.slice(0, whole), output.length, "base64");
      rest = open.slice(whole);
      if (texts.length > 1) yield;
    }
    output.length += output.bytes.write(rest, output.length, "base64");
    endPiece(output);
  }
}

function* decodeCodec(codec: Codec, input: Buffer): Steps<Layer | undefined> {
  const runs = yield* findRuns(codec, input);
  if (runs.length === 0) return undefined;
  const total = runs.reduce((sum, run) => sum + run.end - run.start + 1, 0);
  const output: Output = { bytes: Buffer.allocUnsafe(total * codec.alignments), length: 0 };
  const pieces: Piece[] = [];
  let next = STEP_BYTES;
  for (const run of runs) {
    const length = run.end - run.start;
    // Where in a run something stands does not matter, so that one piece is enough for all its alignments.
    pieces.push({ ...run, at: output.length });
    const isNative = codec.alphabet === BASE64 && length >= MIN_NATIVE_LENGTH;
    if (isNative) yield* decodeNative(input, run, output);
    else if (length <= STEP_BYTES) decodeShort(codec, input, run, output);
    else yield* decodeLong(codec, input, run, output);
    if (output.length < next) continue;
    next = output.length + STEP_BYTES;
    yield;
  }
  return joinedLayer(codec.encoding, output.bytes.subarray(0, output.length), pieces, false);
}

/** Whether there may be any of these layers: the alphabet of base64 has all of the others in it. */
export function hasRuns(input: Buffer): boolean {
  return hasStretch(input, BASE64_MARKS, MIN_RUN_LENGTH);
}

/** Layers of all runs that the input holds, one for each encoding. */
export function* runLayers(input: Buffer): Steps<readonly Layer[]> {
  const layers: Layer[] = [];
  for (const codec of CODECS) {
    const layer = yield* decodeCodec(codec, input);
    if (layer !== undefined) layers.push(layer);
  }
  return layers;
}
