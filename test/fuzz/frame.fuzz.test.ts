// The frame decoder against hostile bytes and hostile cuts: the same frames, one kind of error, bounded memory.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ProtocolError } from "../../src/base/errors.ts";
import {
  encodeFrame,
  FRAME_HEADER_BYTES,
  type Frame,
  FrameDecoder,
  MAX_DATA_BYTES,
  MAX_MESSAGE_BYTES,
} from "../../src/protocol/frame.ts";

const SEED = 20_261_121;
const run = (numRuns: number): { seed: number; numRuns: number } => ({ seed: SEED, numRuns });

const payload = fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes));
const frame: fc.Arbitrary<Frame> = fc.oneof(
  fc.record({
    kind: fc.constantFrom("message", "stdin", "stdout", "stderr"),
    channel: fc.nat({ max: 0xffff_ffff }),
    payload,
  }),
  fc.record({
    kind: fc.constant("window" as const),
    channel: fc.nat({ max: 0xffff_ffff }),
    payload: fc.uint8Array({ minLength: 4, maxLength: 4 }).map((bytes) => Buffer.from(bytes)),
  }),
);
/** Lengths of chunks, repeated until all is sent; empty chunks too. */
const cuts = fc.array(fc.oneof(fc.constant(0), fc.nat({ max: 20 }), fc.nat({ max: 2000 })), {
  minLength: 1,
  maxLength: 20,
});

function* cut(bytes: Buffer, lengths: readonly number[]): Generator<Buffer> {
  const isEndless = lengths.every((length) => length === 0);
  for (let at = 0, index = 0; at < bytes.length; index += 1) {
    const length = isEndless ? 1 : (lengths[index % lengths.length] ?? 1);
    yield bytes.subarray(at, at + length);
    at += length;
  }
}

const encodeAll = (frames: readonly Frame[]): Buffer =>
  Buffer.concat(frames.map((it) => encodeFrame(it.kind, it.channel, it.payload)));

/** What a decoder says of some bytes: its frames until the first fault, and the fault. */
function decode(bytes: Buffer, lengths: readonly number[]): { frames: Frame[]; fault: unknown } {
  const decoder = new FrameDecoder();
  const frames: Frame[] = [];
  try {
    for (const chunk of cut(bytes, lengths)) frames.push(...decoder.push(chunk));
    return { frames, fault: undefined };
  } catch (fault) {
    return { frames, fault };
  }
}

describe("FrameDecoder", () => {
  it("gives the same frames however they are cut", () => {
    fc.assert(
      fc.property(fc.array(frame, { maxLength: 12 }), cuts, (frames, lengths) => {
        expect(decode(encodeAll(frames), lengths)).toEqual({ frames, fault: undefined });
      }),
      run(1500),
    );
  });

  it("throws nothing but ProtocolError, and again for whatever follows", () => {
    const garbage = fc.uint8Array({ maxLength: 400 }).map((bytes) => Buffer.from(bytes));
    fc.assert(
      fc.property(fc.array(frame, { maxLength: 3 }), garbage, cuts, (frames, rest, lengths) => {
        const bytes = Buffer.concat([encodeAll(frames), rest]);
        const { frames: found, fault } = decode(bytes, lengths);
        if (fault === undefined) expect(found.slice(0, frames.length)).toEqual(frames);
        else expect(fault).toBeInstanceOf(ProtocolError);
      }),
      run(3000),
    );
    const decoder = new FrameDecoder();
    const bad = Buffer.from([0, 0, 0, 0, 200, 0, 0, 0, 0]);
    expect(() => decoder.push(bad)).toThrow(ProtocolError);
    expect(() => decoder.push(encodeFrame("stdin", 1, Buffer.from("x")))).toThrow(ProtocolError);
    expect(decoder.isAtBoundary).toBe(false);
  });

  it("judges every header the same way as the encoder", () => {
    fc.assert(
      fc.property(fc.nat({ max: 0xffff_ffff }), fc.nat({ max: 255 }), (length, kind) => {
        const header = Buffer.alloc(FRAME_HEADER_BYTES);
        header.writeUInt32BE(length, 0);
        header.writeUInt8(kind, 4);
        const limit = [MAX_MESSAGE_BYTES, MAX_DATA_BYTES, MAX_DATA_BYTES, MAX_DATA_BYTES, 4][kind];
        const isRefused = decode(header, [FRAME_HEADER_BYTES]).fault !== undefined;
        expect(isRefused).toBe(limit === undefined || length > limit);
      }),
      run(3000),
    );
  });

  it("keeps one unfinished frame and no more, however small the pieces", () => {
    const decoder = new FrameDecoder();
    const message = encodeFrame("message", 0, Buffer.alloc(MAX_MESSAGE_BYTES, 0x61));
    const held = (): number => process.memoryUsage().arrayBuffers + process.memoryUsage().heapUsed;
    const before = held();
    // Every byte comes in a buffer of its own, as a guest can arrange.
    for (const byte of message.subarray(0, -1)) {
      if (decoder.push(Buffer.alloc(1, byte)).length > 0) throw new Error("a frame too early");
    }
    expect(held() - before).toBeLessThan(64 * 1024 * 1024);
    expect(decoder.push(message.subarray(-1))).toHaveLength(1);
    expect(decoder.isAtBoundary).toBe(true);
  });
});
