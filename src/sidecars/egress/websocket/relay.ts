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
import type { MessageJudge, Release } from "./message-judge.ts";
import { Outbound } from "./outbound.ts";

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
  /** It ended because of a fault of ours. */
  readonly onFault: (error: unknown) => void;
  /** Calls back after each change of policy; gives what ends that. */
  readonly watch: (onSwap: () => void) => () => void;
  /** Why the connection may not go on under the policy in force. */
  readonly judgeNow: () => Deny | undefined;
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
  readonly #judged: Outbound | undefined;
  #isOver = false;
  #unwatch: (() => void) | undefined;
  /** A message to the upstream has begun. */
  #isBegun = false;

  constructor(options: RelayOptions) {
    const { judge } = options;
    this.#options = options;
    this.#judged = judge && new Outbound(judge, this.#ends());
    this.#guest = options.guest.socket;
    this.#upstream = options.upstream.socket;
    this.#masker = options.secrets && createStreamMasker(options.secrets);
  }

  start(): void {
    const { guest, upstream, watch } = this.#options;
    this.#unwatch = watch(() => this.#judgeNow());
    const out = new FrameReader(true, this.#outbound());
    const back = new FrameReader(false, this.#inbound());
    const readOut = (bytes: Buffer): void => this.#read(out, bytes);
    const readBack = (bytes: Buffer): void => this.#read(back, bytes);
    this.#connect(this.#guest, this.#upstream, readOut);
    this.#connect(this.#upstream, this.#guest, readBack);
    // What was sent before the end still is to arrive.
    const finish = (): void => {
      if (this.#judged === undefined) this.#end();
      else this.#judged.finish(() => this.#end());
    };
    this.#guest.on("end", finish).on("close", finish);
    this.#upstream.on("end", () => this.#end()).on("close", () => this.#end());
    // The policy may have changed since the handshake was sent.
    this.#judgeNow();
    if (guest.rest !== undefined) readOut(guest.rest);
    if (upstream.rest !== undefined) readBack(upstream.rest);
  }

  #connect(from: Socket, to: Socket, read: (bytes: Buffer) => void): void {
    from.setTimeout(WEBSOCKET_IDLE_MS, () => this.#end());
    from.on("data", (bytes: Buffer) => {
      // Small frames that came together leave together.
      to.cork();
      read(bytes);
      to.uncork();
      if (!this.#mayRead(from, to)) from.pause();
    });
    from.on("drain", () => {
      if (this.#mayRead(to, from)) to.resume();
    });
    from.on("error", () => this.#end());
    from.resume();
  }

  #mayRead(from: Socket, to: Socket): boolean {
    return !to.writableNeedDrain && !(from === this.#guest && this.#judged?.isFull === true);
  }

  #read(reader: FrameReader, bytes: Buffer): void {
    if (this.#isOver) return;
    const fault = reader.feed(bytes);
    if (fault !== undefined) this.#closeBoth(CLOSE_CODES.protocolError, `egress: ${fault}`);
  }

  /** From the guest: counted, judged, and masked anew. */
  #outbound(): FrameSink {
    const { spend } = this.#options;
    const sink = this.#judged ?? this.#unjudged();
    const isPaid = (bytes: Buffer): boolean => {
      const refused = this.#isOver ? undefined : spend(bytes.length);
      if (refused !== undefined) this.#refuse(refused);
      return !this.#isOver;
    };
    return {
      data: (opcode, bytes, isLast) => {
        if (isPaid(bytes)) sink.data(opcode, bytes, isLast);
      },
      control: (opcode, payload) => {
        if (isPaid(payload)) sink.control(opcode, payload);
      },
    };
  }

  #unjudged(): FrameSink {
    return {
      data: (opcode, bytes, isLast) => this.#send({ opcode, bytes, isLast, isControl: false }),
      control: (opcode, bytes) => this.#send({ opcode, bytes, isLast: true, isControl: true }),
    };
  }

  #ends(): ConstructorParameters<typeof Outbound>[1] {
    return {
      send: (releases) => {
        this.#upstream.cork();
        for (const release of releases) this.#send(release);
        this.#upstream.uncork();
      },
      refuse: (verdict) => this.#refuse(verdict),
      fail: (error) => {
        this.#options.onFault(error);
        this.#end();
      },
      resume: () => {
        if (this.#mayRead(this.#guest, this.#upstream)) this.#guest.resume();
      },
    };
  }

  #send({ opcode, bytes, isLast, isControl }: Release): void {
    const isEmptyPart = bytes.length === 0 && !isLast;
    if (isEmptyPart || this.#isOver) return;
    if (opcode === OPCODES.close && !isClosePayload(bytes)) {
      this.#closeBoth(CLOSE_CODES.protocolError, "egress: a close has no valid code");
      return;
    }
    const kind = !isControl && this.#isBegun ? OPCODES.continuation : opcode;
    if (!isControl) this.#isBegun = !isLast;
    this.#upstream.write(encodeFrame({ opcode: kind, isFinal: isLast }, bytes, freshMask()));
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

  #judgeNow(): void {
    const refused = this.#isOver ? undefined : this.#options.judgeNow();
    if (refused !== undefined) this.#refuse(refused);
  }

  #refuse(verdict: Deny): void {
    if (this.#isOver) return;
    this.#options.onRefused(verdict);
    const { restart, policyViolation } = CLOSE_CODES;
    const code = verdict.reason === "policy-changed" ? restart : policyViolation;
    this.#guest.write(closeFrame(code, `egress: ${verdict.reason}`, undefined));
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
    this.#unwatch?.();
    this.#judged?.stop();
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
