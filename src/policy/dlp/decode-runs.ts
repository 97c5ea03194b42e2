/**
 * Decodes long runs of base64, hexadecimal and base32 text at every alignment: what stands before a run on purpose must
 * not shift it out of sight.
 */
import { findStretches, joinedLayer, type Layer, type Piece, type Range } from "./layer.ts";

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

const MARKS: ReadonlyMap<Codec, Uint8Array> = new Map(
  CODECS.map((codec) => [codec, marksOf(codec.alphabet)]),
);

/** Runs of a codec's alphabet; line breaks may stand inside. */
function findRuns(codec: Codec, input: Buffer): readonly Range[] {
  return findStretches(input, MARKS.get(codec) ?? new Uint8Array(256), MIN_RUN_LENGTH);
}

/** Decodes one run behind `skip` characters; returns the new length of the output. */
function decodeRun(
  codec: Codec,
  input: Buffer,
  run: Range & { readonly skip: number },
  output: { readonly bytes: Buffer; readonly length: number },
): number {
  const { alphabet, bits } = codec;
  let { length } = output;
  let held = 0;
  let count = 0;
  let skip = run.skip;
  for (let at = run.start; at < run.end; at += 1) {
    const value = alphabet[input[at] ?? 0] ?? -1;
    if (value < 0) continue;
    if (skip > 0) {
      skip -= 1;
      continue;
    }
    held = ((held << bits) | value) & 0xffff;
    count += bits;
    if (count < 8) continue;
    count -= 8;
    output.bytes[length] = held >> count;
    length += 1;
  }
  return length;
}

/** From this length on the platform's decoder is faster than ours. */
const MIN_NATIVE_LENGTH = 128;

function decodeNative(
  input: Buffer,
  run: Range,
  output: { readonly bytes: Buffer; length: number },
): readonly Piece[] {
  const text = input.toString("latin1", run.start, run.end).replace(/[\r\n]+/g, "");
  return [0, 1, 2, 3].map((skip) => {
    const at = output.length;
    output.length += output.bytes.write(text.slice(skip), at, "base64");
    output.bytes[output.length] = 0;
    output.length += 1;
    return { ...run, at };
  });
}

function decodeCodec(codec: Codec, input: Buffer): readonly Layer[] {
  const runs = findRuns(codec, input);
  if (runs.length === 0) return [];
  const total = runs.reduce((sum, run) => sum + run.end - run.start + 1, 0);
  const output = { bytes: Buffer.allocUnsafe(total * codec.alignments), length: 0 };
  const pieces: Piece[] = [];
  for (const run of runs) {
    if (codec.alphabet === BASE64 && run.end - run.start >= MIN_NATIVE_LENGTH) {
      pieces.push(...decodeNative(input, run, output));
      continue;
    }
    for (let skip = 0; skip < codec.alignments; skip += 1) {
      pieces.push({ ...run, at: output.length });
      output.length = decodeRun(codec, input, { ...run, skip }, output);
      output.bytes[output.length] = 0;
      output.length += 1;
    }
  }
  return [joinedLayer(codec.encoding, output.bytes.subarray(0, output.length), pieces, false)];
}

/** Layers of all runs that the input holds, one for each encoding. */
export function runLayers(input: Buffer): readonly Layer[] {
  return CODECS.flatMap((codec) => decodeCodec(codec, input));
}
