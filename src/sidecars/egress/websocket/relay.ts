/**
 * Carries a WebSocket between guest and upstream, frame by frame. Invariant: bytes that are no frames go nowhere; what the
 * guest sends is judged before it leaves, and what was put into its request is masked in what comes back.
 */
import type { Socket } from "node:net";
import type { KnownSecrets } from "../../../policy/dlp/known-secrets.ts";
import { createStreamMasker, type StreamMasker } from "../../../policy/dlp/stream.ts";
import type { Deny } from "../../../policy/verdict.ts";
import type { Switched } from "../message.ts";
import {
  CLOSE_CODES,
  closePayload,
  encodeFrame,
  FrameReader,
  type FrameSink,
  isClosePayload,
  OPCODES,
} from "./frames.ts";
import type { MessageJudge } from "./message-judge.ts";

/** Longest silence of both sides. */
export const WEBSOCKET_IDLE_MS: number = 15 * 60 * 1000;

export interface RelayOptions {
  readonly guest: Switched;
  readonly upstream: Switched;
  /** Judges what the guest sends; undefined where nothing is searched for. */
  readonly judge: MessageJudge | undefined;
  /** Counts what leaves. */
  readonly spend: (bytes: number) => Deny | undefined;
  /** Values to mask in what comes back. */
  readonly secrets: KnownSecrets | undefined;
  /** The connection ended because of what the guest sent. */
  readonly onRefused: (verdict: Deny) => void;
}

/** Relays until one side ends. */
export function relayWebSocket(options: RelayOptions): void {
  new WebSocketRelay(options).start();
}

class WebSocketRelay {
  readonly #options: RelayOptions;
  readonly #guest: Socket;
  readonly #upstream: Socket;
  readonly #masker: StreamMasker | undefined;
  #isOver = false;

  constructor(options: RelayOptions) {
    this.#options = options;
    this.#guest = options.guest.socket;
    this.#upstream = options.upstream.socket;
    this.#masker = options.secrets && createStreamMasker(options.secrets);
  }

  start(): void {
    const { guest, upstream } = this.#options;
    const out = new FrameReader(true, this.#outbound());
    const back = new FrameReader(false, this.#inbound());
    const readOut = (bytes: Buffer): void => this.#read(out, bytes);
    const readBack = (bytes: Buffer): void => this.#read(back, bytes);
    this.#connect(this.#guest, this.#upstream, readOut);
    this.#connect(this.#upstream, this.#guest, readBack);
    if (guest.rest !== undefined) readOut(guest.rest);
    if (upstream.rest !== undefined) readBack(upstream.rest);
  }

  #connect(from: Socket, to: Socket, read: (bytes: Buffer) => void): void {
    from.setTimeout(WEBSOCKET_IDLE_MS, () => this.#end());
    from.on("data", (bytes: Buffer) => {
      read(bytes);
      if (to.writableNeedDrain) from.pause();
    });
    from.on("drain", () => to.resume());
    from.on("end", () => this.#end());
    from.on("error", () => this.#end());
    from.on("close", () => this.#end());
    from.resume();
  }

  #read(reader: FrameReader, bytes: Buffer): void {
    if (this.#isOver) return;
    const fault = reader.feed(bytes);
    if (fault !== undefined) this.#closeBoth(CLOSE_CODES.protocolError, `egress: ${fault}`);
  }

  /** From the guest: judged, and masked anew. */
  #outbound(): FrameSink {
    const { judge, spend } = this.#options;
    let isBegun = false;
    const send = (opcode: number, bytes: Buffer, isLast: boolean): void => {
      const isEmptyPart = bytes.length === 0 && !isLast;
      if (isEmptyPart || this.#isOver) return;
      const kind = isBegun ? OPCODES.continuation : opcode;
      isBegun = !isLast;
      this.#upstream.write(encodeFrame({ opcode: kind, isFinal: isLast }, bytes, freshMask()));
    };
    return {
      data: (opcode, bytes, isLast) => {
        if (this.#isOver) return;
        const released =
          spend(bytes.length) ?? (judge ? judge.push(bytes, isLast) : { bytes, isLast });
        if (released === undefined) return;
        if ("reason" in released) this.#refuse(released);
        else send(opcode, released.bytes, released.isLast);
      },
      control: (opcode, payload) => {
        if (this.#isOver) return;
        const refused = spend(payload.length) ?? judge?.control(payload);
        if (refused !== undefined) this.#refuse(refused);
        else if (opcode === OPCODES.close && !isClosePayload(payload)) {
          this.#closeBoth(CLOSE_CODES.protocolError, "egress: a close has no valid code");
        } else {
          this.#upstream.write(encodeFrame({ opcode, isFinal: true }, payload, freshMask()));
        }
      },
    };
  }

  /** From the upstream: as it comes, echoes masked. */
  #inbound(): FrameSink {
    const masker = this.#masker;
    let isBegun = false;
    return {
      data: (opcode, bytes, isLast) => {
        const parts = masker === undefined ? [bytes] : [masker.push(bytes)];
        if (masker !== undefined && isLast) parts.push(masker.end());
        const masked = parts.length === 1 ? (parts[0] ?? bytes) : Buffer.concat(parts);
        if ((masked.length === 0 && !isLast) || this.#isOver) return;
        const kind = isBegun ? OPCODES.continuation : opcode;
        isBegun = !isLast;
        this.#guest.write(encodeFrame({ opcode: kind, isFinal: isLast }, masked, undefined));
      },
      control: (opcode, payload) => {
        if (!this.#isOver) this.#guest.write(this.#controlFrame(opcode, payload));
      },
    };
  }

  #controlFrame(opcode: number, payload: Buffer): Buffer {
    const { secrets } = this.#options;
    const masker = secrets && createStreamMasker(secrets);
    const masked = masker ? Buffer.concat([masker.push(payload), masker.end()]) : payload;
    return encodeFrame({ opcode, isFinal: true }, masked, undefined);
  }

  #refuse(verdict: Deny): void {
    if (this.#isOver) return;
    this.#options.onRefused(verdict);
    this.#guest.write(
      closeFrame(CLOSE_CODES.policyViolation, `egress: ${verdict.reason}`, undefined),
    );
    // The upstream gets no end of the message, so that it cannot pass for whole.
    this.#upstream.destroy();
    this.#end();
  }

  #closeBoth(code: number, reason: string): void {
    if (this.#isOver) return;
    this.#guest.write(closeFrame(code, reason, undefined));
    this.#upstream.write(closeFrame(code, "", freshMask()));
    this.#end();
  }

  #end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#options.judge?.close();
    for (const socket of [this.#guest, this.#upstream]) {
      socket.resume();
      socket.destroySoon();
    }
  }
}

function closeFrame(code: number, reason: string, mask: Buffer | undefined): Buffer {
  return encodeFrame({ opcode: OPCODES.close, isFinal: true }, closePayload(code, reason), mask);
}

/** A key that nobody can foresee (RFC 6455, 10.3). */
function freshMask(): Buffer {
  return process.getBuiltinModule("node:crypto").randomBytes(4);
}
