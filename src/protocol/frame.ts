/**
 * The one wire frame, used on every channel of ours (owner ⇄ bundle, owner ⇄ guest-init, command ⇄ owner):
 *
 *   0        4        5                9
 *   ┌────────┬────────┬────────────────┬───────────┐
 *   │ length │ kind   │ channel        │ payload … │   length = bytes of payload, big-endian
 *   └────────┴────────┴────────────────┴───────────┘
 *
 * Bytes from a guest are hostile: every bound is checked before anything is kept.
 */
import { ProtocolError } from "../base/errors.ts";

export const FRAME_HEADER_BYTES = 9;
/** Longest payload of a message frame: a whole bundle configuration fits many times over. */
export const MAX_MESSAGE_BYTES: number = 1024 * 1024;
/** Longest payload of a data frame: one pipe buffer of Linux. */
export const MAX_DATA_BYTES: number = 64 * 1024;

/** `message` is JSON; `stdin`, `stdout` and `stderr` carry bytes of their channel, an empty one ends that stream; `window`
 * gives the sender of one stream credit: 4 bytes, the stream's place in this list, then the bytes of credit, big-endian. */
export type FrameKind = "message" | "stdin" | "stdout" | "stderr" | "window";

const KINDS: readonly FrameKind[] = ["message", "stdin", "stdout", "stderr", "window"];

export interface Frame {
  readonly kind: FrameKind;
  /** 0 is the connection itself; a session or copy has a number of its own. */
  readonly channel: number;
  readonly payload: Buffer;
}

/** Encodes one frame. Throws {@link ProtocolError} when the payload is over its bound. */
export function encodeFrame(kind: FrameKind, channel: number, payload: Uint8Array): Buffer {
  checkLength(kind, payload.length);
  const frame = Buffer.allocUnsafe(FRAME_HEADER_BYTES + payload.length);
  frame.writeUInt32BE(payload.length, 0);
  frame.writeUInt8(KINDS.indexOf(kind), 4);
  frame.writeUInt32BE(channel, 5);
  frame.set(payload, FRAME_HEADER_BYTES);
  return frame;
}

function checkLength(kind: FrameKind, length: number): void {
  const limit = kind === "message" ? MAX_MESSAGE_BYTES : kind === "window" ? 4 : MAX_DATA_BYTES;
  if (length > limit) {
    throw new ProtocolError(
      "protocol.frame",
      `${kind} frame of ${length} bytes; at most ${limit} are allowed`,
    );
  }
}

/** Cuts a byte stream into frames; keeps at most one unfinished frame, in one piece, however small the chunks are. */
export class FrameDecoder {
  readonly #header: Buffer = Buffer.allocUnsafeSlow(FRAME_HEADER_BYTES);
  #headerSize = 0;
  #payload: Buffer | undefined;
  #payloadSize = 0;

  /** Takes bytes and returns the frames they complete. Throws {@link ProtocolError} on an unknown kind or a bound. */
  push(chunk: Buffer): Frame[] {
    const frames: Frame[] = [];
    let rest = chunk;
    while (rest.length > 0) {
      rest = this.#headerSize < FRAME_HEADER_BYTES ? this.#fillHeader(rest) : rest;
      if (this.#headerSize < FRAME_HEADER_BYTES) break;
      const header = readHeader(this.#header);
      const payload = this.#fillPayload(rest, header.length);
      rest = rest.subarray(payload.taken);
      if (payload.whole === undefined) break;
      frames.push({ kind: header.kind, channel: header.channel, payload: payload.whole });
      this.#headerSize = 0;
      this.#payload = undefined;
    }
    return frames;
  }

  /** True when the stream may end here: no frame is unfinished. */
  get isAtBoundary(): boolean {
    return this.#headerSize === 0;
  }

  #fillHeader(bytes: Buffer): Buffer {
    const taken = bytes.copy(this.#header, this.#headerSize);
    this.#headerSize += taken;
    return bytes.subarray(taken);
  }

  #fillPayload(bytes: Buffer, length: number): { taken: number; whole: Buffer | undefined } {
    if (this.#payload === undefined && bytes.length >= length) {
      return { taken: length, whole: bytes.subarray(0, length) };
    }
    if (this.#payload === undefined) {
      this.#payload = Buffer.allocUnsafeSlow(length);
      this.#payloadSize = 0;
    }
    const taken = bytes.copy(this.#payload, this.#payloadSize);
    this.#payloadSize += taken;
    return { taken, whole: this.#payloadSize === length ? this.#payload : undefined };
  }
}

function readHeader(header: Buffer): { kind: FrameKind; length: number; channel: number } {
  const length = header.readUInt32BE(0);
  const kind = KINDS[header.readUInt8(4)];
  if (kind === undefined) {
    throw new ProtocolError("protocol.frame", `unknown frame kind ${header.readUInt8(4)}`);
  }
  checkLength(kind, length);
  return { kind, length, channel: header.readUInt32BE(5) };
}
