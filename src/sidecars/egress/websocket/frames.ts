/**
 * Frames of WebSocket (RFC 6455, 5), read strictly and written anew. Invariant: no extension is in use, so every reserved bit
 * is zero; what one endpoint could read otherwise than another ends the connection.
 */

/** Kinds of frames. */
export const OPCODES = {
  continuation: 0,
  text: 1,
  binary: 2,
  close: 8,
  ping: 9,
  pong: 10,
} as const;

/** Codes that a close may carry. */
export const CLOSE_CODES = {
  protocolError: 1002,
  policyViolation: 1008,
  tooBig: 1009,
  restart: 1012,
  tryLater: 1013,
} as const;

/** Longest payload of a control frame. */
const MAX_CONTROL_BYTES = 125;
/** Longest frame: longer than any message that a client sends in one piece. */
export const MAX_FRAME_BYTES: number = 256 * 1024 * 1024;

/** Frames that a message may have, however small they are. */
export const MAX_SMALL_FRAMES = 1024;
/** Bytes that earn a message one frame more: what small ones cost is not paid by what they carry. */
const BYTES_PER_FRAME = 64;

/** Takes what frames hold. */
export interface FrameSink {
  /** Bytes of a message, unmasked; `isLast` ends it. The opcode is that of the message, not of the frame. */
  data(opcode: number, bytes: Buffer, isLast: boolean): void;
  control(opcode: number, payload: Buffer): void;
}

/** Reads the frames of one direction. */
export class FrameReader {
  readonly #isMasked: boolean;
  readonly #sink: FrameSink;
  #head: Buffer = Buffer.alloc(0);
  #opcode = 0;
  #isFinal = false;
  #left = 0;
  #isInFrame = false;
  #mask: Buffer | undefined;
  #maskAt = 0;
  #control: Buffer[] = [];
  /** Opcode of the message that has begun; 0 between messages. */
  #message = 0;
  #frames = 0;
  #size = 0;

  /** `isMasked`: the sender is a client, whose frames must be masked; a server's must not. */
  constructor(isMasked: boolean, sink: FrameSink) {
    this.#isMasked = isMasked;
    this.#sink = sink;
  }

  /** Takes bytes. Gives what is wrong with them, after which nothing may be read any more. */
  feed(chunk: Buffer): string | undefined {
    let bytes = chunk;
    while (bytes.length > 0) {
      if (this.#isInFrame) {
        bytes = this.#payload(bytes);
        continue;
      }
      const head = this.#head.length === 0 ? bytes : Buffer.concat([this.#head, bytes]);
      const length = headLength(head);
      if (length === undefined || head.length < length) {
        this.#head = Buffer.from(head);
        return undefined;
      }
      this.#head = Buffer.alloc(0);
      const fault = this.#begin(head);
      if (fault !== undefined) return fault;
      bytes = head.subarray(length);
    }
    return undefined;
  }

  #begin(bytes: Buffer): string | undefined {
    const head = readHead(bytes, this.#isMasked);
    if (typeof head === "string") return head;
    const fault = judgeOpcode(head, this.#message) ?? this.#count(head);
    if (fault !== undefined) return fault;
    this.#mask = head.mask;
    this.#maskAt = 0;
    this.#opcode = head.opcode;
    this.#isFinal = head.isFinal;
    this.#left = head.length;
    this.#isInFrame = true;
    if (head.opcode === OPCODES.text || head.opcode === OPCODES.binary) this.#message = head.opcode;
    if (this.#left === 0) this.#take(Buffer.alloc(0));
    return undefined;
  }

  /** Counts the frames of a message against what it has carried. */
  #count({ opcode, length }: FrameHead): string | undefined {
    if (opcode >= OPCODES.close) return undefined;
    const isFirst = opcode !== OPCODES.continuation;
    this.#frames = isFirst ? 1 : this.#frames + 1;
    this.#size = isFirst ? length : this.#size + length;
    const most = MAX_SMALL_FRAMES + this.#size / BYTES_PER_FRAME;
    return this.#frames > most ? "a message comes in too many small frames" : undefined;
  }

  #payload(bytes: Buffer): Buffer {
    const part = bytes.subarray(0, this.#left);
    this.#left -= part.length;
    this.#take(this.#unmasked(part));
    return bytes.subarray(part.length);
  }

  #unmasked(part: Buffer): Buffer {
    const mask = this.#mask;
    if (mask === undefined) return part;
    const plain = Buffer.allocUnsafe(part.length);
    applyMask(part, plain, { mask, from: this.#maskAt });
    this.#maskAt = (this.#maskAt + part.length) & 3;
    return plain;
  }

  #take(bytes: Buffer): void {
    const isEnd = this.#left === 0;
    if (isEnd) this.#isInFrame = false;
    if (this.#opcode >= OPCODES.close) {
      this.#control.push(bytes);
      if (!isEnd) return;
      const payload = Buffer.concat(this.#control);
      this.#control = [];
      this.#sink.control(this.#opcode, payload);
      return;
    }
    const opcode = this.#message;
    const isLast = isEnd && this.#isFinal;
    if (isLast) this.#message = 0;
    this.#sink.data(opcode, bytes, isLast);
  }
}

/** Length of a frame's head; undefined while that cannot be told. */
function headLength(bytes: Buffer): number | undefined {
  if (bytes.length < 2) return undefined;
  const second = bytes[1] ?? 0;
  const size = second & 0x7f;
  const extended = size === 126 ? 2 : size === 127 ? 8 : 0;
  return 2 + extended + ((second & 0x80) === 0 ? 0 : 4);
}

/** Length of a frame's payload; undefined where a shorter spelling exists. */
function payloadLength(head: Buffer): number | undefined {
  const size = (head[1] ?? 0) & 0x7f;
  if (size < 126) return size;
  const length = size === 126 ? head.readUInt16BE(2) : Number(head.readBigUInt64BE(2));
  return length < (size === 126 ? 126 : 65_536) ? undefined : length;
}

interface FrameHead {
  readonly opcode: number;
  readonly isFinal: boolean;
  readonly length: number;
  readonly mask: Buffer | undefined;
}

/** Reads a whole head, or says what is wrong with it. */
function readHead(bytes: Buffer, isMasked: boolean): FrameHead | string {
  const first = bytes[0] ?? 0;
  const second = bytes[1] ?? 0;
  if ((first & 0x70) !== 0) return "a frame uses an extension that was not agreed on";
  if (((second & 0x80) !== 0) !== isMasked) return "a frame is masked the wrong way";
  const length = payloadLength(bytes);
  if (length === undefined) return "a frame's length is not written the shortest way";
  const end = headLength(bytes) ?? 0;
  const mask = isMasked ? Buffer.from(bytes.subarray(end - 4, end)) : undefined;
  return { opcode: first & 0x0f, isFinal: (first & 0x80) !== 0, length, mask };
}

/** `message` is the opcode of the message that has begun, 0 between messages. */
function judgeOpcode({ opcode, isFinal, length }: FrameHead, message: number): string | undefined {
  if (opcode >= OPCODES.close && opcode <= OPCODES.pong) {
    const isShort = isFinal && length <= MAX_CONTROL_BYTES;
    return isShort ? undefined : "a control frame is long or in parts";
  }
  if (opcode > OPCODES.binary) return "a frame is of a kind that does not exist";
  if (length > MAX_FRAME_BYTES) return "a frame is too long";
  if (opcode === OPCODES.continuation) {
    return message === 0 ? "a message goes on that has not begun" : undefined;
  }
  return message === 0 ? undefined : "a message begins inside another one";
}

interface Masking {
  readonly mask: Buffer;
  readonly from: number;
}

/** Masks or unmasks; both are the same. */
function applyMask(input: Buffer, output: Buffer, { mask, from }: Masking): void {
  for (let at = 0; at < input.length; at += 1) {
    output[at] = (input[at] ?? 0) ^ (mask[(at + from) & 3] ?? 0);
  }
}

/** One frame as bytes; with a mask it is a client's. */
export function encodeFrame(
  frame: { readonly opcode: number; readonly isFinal: boolean },
  payload: Buffer,
  mask: Buffer | undefined,
): Buffer {
  const extended = payload.length < 126 ? 0 : payload.length < 65_536 ? 2 : 8;
  const headSize = 2 + extended + (mask === undefined ? 0 : 4);
  const bytes = Buffer.allocUnsafe(headSize + payload.length);
  const bit = mask === undefined ? 0 : 0x80;
  bytes[0] = (frame.isFinal ? 0x80 : 0) | frame.opcode;
  if (extended === 0) bytes[1] = bit | payload.length;
  else if (extended === 2) {
    bytes[1] = bit | 126;
    bytes.writeUInt16BE(payload.length, 2);
  } else {
    bytes[1] = bit | 127;
    bytes.writeBigUInt64BE(BigInt(payload.length), 2);
  }
  if (mask === undefined) payload.copy(bytes, headSize);
  else {
    mask.copy(bytes, headSize - 4);
    applyMask(payload, bytes.subarray(headSize), { mask, from: 0 });
  }
  return bytes;
}

/** Payload of a close frame. */
export function closePayload(code: number, reason: string): Buffer {
  const text = Buffer.from(reason, "utf8").subarray(0, MAX_CONTROL_BYTES - 2);
  const payload = Buffer.alloc(2 + text.length);
  payload.writeUInt16BE(code, 0);
  text.copy(payload, 2);
  return payload;
}

/** Whether a close frame's payload is one: nothing, or a code that may be sent, and a reason in UTF-8. */
export function isClosePayload(payload: Buffer): boolean {
  if (payload.length === 0) return true;
  if (payload.length < 2) return false;
  const code = payload.readUInt16BE(0);
  const isKnown = code >= 1000 && code <= 1014 && ![1004, 1005, 1006].includes(code);
  const isPrivate = code >= 3000 && code <= 4999;
  return (isKnown || isPrivate) && isUtf8(payload.subarray(2));
}

function isUtf8(bytes: Buffer): boolean {
  return process.getBuiltinModule("node:buffer").isUtf8(bytes);
}
