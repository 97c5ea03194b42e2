// The frame decoder: any cut of the bytes gives the same frames, and no bound is passed.
import { expect, it } from "vitest";
import { ProtocolError } from "../base/errors.ts";
import {
  encodeFrame,
  type Frame,
  FrameDecoder,
  MAX_DATA_BYTES,
  MAX_MESSAGE_BYTES,
} from "./frame.ts";

const frames: readonly Frame[] = [
  { kind: "message", channel: 0, payload: Buffer.from('{"kind":"x"}') },
  { kind: "stdin", channel: 7, payload: Buffer.alloc(0) },
  { kind: "stdout", channel: 0xffff_ffff, payload: Buffer.alloc(MAX_DATA_BYTES, 1) },
  { kind: "window", channel: 2, payload: Buffer.from([1, 0, 0, 9]) },
];
const bytes = Buffer.concat(frames.map((it) => encodeFrame(it.kind, it.channel, it.payload)));

it.each([1, 3, 9, 10, 4096, 1_000_000])("gives the same frames when cut every %d bytes", (step) => {
  const decoder = new FrameDecoder();
  const found: Frame[] = [];
  for (let at = 0; at < bytes.length; at += step)
    found.push(...decoder.push(bytes.subarray(at, at + step)));
  expect(found).toEqual(frames);
  expect(decoder.isAtBoundary).toBe(true);
});

it("knows that a frame is unfinished", () => {
  const decoder = new FrameDecoder();
  decoder.push(bytes.subarray(0, 5));
  expect(decoder.isAtBoundary).toBe(false);
});

it("refuses an unknown kind and a length over its bound before any payload is kept", () => {
  const unknown = Buffer.from([0, 0, 0, 1, 99, 0, 0, 0, 0]);
  expect(() => new FrameDecoder().push(unknown)).toThrow(ProtocolError);
  const long = Buffer.from([0x7f, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0]);
  expect(() => new FrameDecoder().push(long)).toThrow(/at most 65536/);
  expect(() => encodeFrame("message", 0, Buffer.alloc(MAX_MESSAGE_BYTES + 1))).toThrow(
    ProtocolError,
  );
});
