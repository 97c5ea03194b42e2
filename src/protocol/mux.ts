/**
 * Many channels over one duplex stream, used between owner and guest-init and between a command and the owner. A channel
 * carries messages and up to three byte streams with credit of their own, so that a stalled reader stalls its stream and
 * nothing else. Anything malformed or over a bound ends the connection: there is no second guess.
 */
import type { Duplex, Readable, Writable } from "node:stream";
import { messageOf, ProtocolError } from "../base/errors.ts";
import { parseJson } from "../base/json.ts";
import { encodeFrame, type Frame, FrameDecoder } from "./frame.ts";
import { type Channel, type ChannelHandlers, OpenChannel } from "./mux-channel.ts";
import type { OutboundStream } from "./mux-streams.ts";

export type { Channel, ChannelHandlers } from "./mux-channel.ts";

/** Most channels that are open at one time: sessions and copies of one bottle. */
export const MAX_CHANNELS = 256;
/** Unsent bytes at which a peer that does not read is given up. */
const MAX_BACKLOG_BYTES: number = 8 * 1024 * 1024;
/** Highest channel number: four bytes on the wire. */
const MAX_CHANNEL_ID = 0xffff_ffff;

/** One duplex stream, or the two halves of a pair of pipes. */
export type MuxStream = Duplex | { readonly input: Readable; readonly output: Writable };

export interface MuxOptions<In, Out> {
  /** Judges one message; undefined means malformed and ends the connection. */
  readonly decode: (value: unknown) => In | undefined;
  /** Messages of channel 0. Absent: one is malformed. */
  readonly onMessage?: (message: In) => void;
  /** The peer opens a channel with its first message; asks for the streams it will read before it returns. Absent: only we open channels. */
  readonly onChannel?: (channel: Channel<Out>, message: In) => ChannelHandlers<In>;
  /** The peer broke the protocol; the connection is gone already. Called at most once. */
  readonly onFault?: (fault: ProtocolError) => void;
  readonly maxChannels?: number;
}

/** A connection that carries channels. */
export interface Mux<In, Out> {
  /** Settles when the connection is gone, with the fault that ended it; never rejects. */
  readonly closed: Promise<ProtocolError | undefined>;
  /** Sends a message on channel 0; dropped once the connection is gone. */
  send(message: Out): void;
  /** Opens a channel. Throws {@link ProtocolError} when too many are open or the connection is gone. */
  openChannel(handlers: ChannelHandlers<In>): Channel<Out>;
  /** Ends our half after what is queued; the peer ends the connection. */
  end(): void;
  /** Ends the connection at once. */
  destroy(): void;
}

/** Takes over a stream; see {@link MuxOptions}. */
export function openMux<In, Out>(stream: MuxStream, options: MuxOptions<In, Out>): Mux<In, Out> {
  return new Connection(stream, options);
}

class Connection<In, Out> implements Mux<In, Out> {
  readonly closed: Promise<ProtocolError | undefined>;
  readonly #options: MuxOptions<In, Out>;
  readonly #input: Readable;
  readonly #output: Writable;
  readonly #decoder = new FrameDecoder();
  readonly #channels = new Map<number, OpenChannel<In, Out>>();
  readonly #waiting = new Set<OutboundStream>();
  #lastId = 0;
  #isOpen = true;
  #settle: (fault: ProtocolError | undefined) => void = () => undefined;

  constructor(stream: MuxStream, options: MuxOptions<In, Out>) {
    this.#options = options;
    this.#input = "input" in stream ? stream.input : stream;
    this.#output = "output" in stream ? stream.output : stream;
    this.closed = new Promise((resolve) => {
      this.#settle = resolve;
    });
    this.#input.on("data", (chunk: Buffer) => this.#receive(chunk));
    this.#input.on("end", () => this.#end());
    this.#output.on("drain", () => this.#pumpWaiting());
    for (const side of new Set([this.#input, this.#output])) {
      // A reset is an end like any other: what is outstanding fails because the peer is gone.
      side.on("error", () => this.#finish(undefined));
      side.on("close", () => this.#finish(undefined));
    }
    // A socket that was accepted paused does not flow by itself.
    this.#input.resume();
  }

  /** Room for data frames; messages always go, so that control never waits behind a stream. */
  get canWrite(): boolean {
    return this.#isOpen && !this.#output.writableNeedDrain;
  }

  send(message: Out): void {
    this.write("message", 0, Buffer.from(JSON.stringify(message)));
  }

  openChannel(handlers: ChannelHandlers<In>): Channel<Out> {
    const { maxChannels = MAX_CHANNELS } = this.#options;
    if (!this.#isOpen)
      throw new ProtocolError("protocol.closed", "no session started: the connection is gone");
    if (this.#channels.size >= maxChannels || this.#lastId >= MAX_CHANNEL_ID) {
      throw new ProtocolError(
        "protocol.message",
        `no session started: ${maxChannels} are running; at most ${maxChannels} may`,
      );
    }
    return this.#addChannel(this.#lastId + 1, handlers);
  }

  end(): void {
    if (this.#isOpen && !this.#output.writableEnded) this.#output.end();
  }

  destroy(): void {
    this.#finish(undefined);
  }

  /** Writes one frame; dropped once our half has ended. */
  write(kind: Frame["kind"], id: number, payload: Buffer): void {
    const frame = encodeFrame(kind, id, payload);
    if (!this.#isOpen || this.#output.writableEnded) return;
    this.#output.write(frame);
    if (this.#output.writableLength > MAX_BACKLOG_BYTES) {
      this.#fail(
        new ProtocolError("protocol.closed", `the peer left ${MAX_BACKLOG_BYTES} bytes unread`),
      );
    }
  }

  /** Puts a sending stream in the queue of those that wait for room. */
  wait(stream: OutboundStream): void {
    this.#waiting.add(stream);
    if (this.canWrite) this.#pumpWaiting();
  }

  forget(id: number): void {
    this.#channels.delete(id);
  }

  #addChannel(id: number, handlers: ChannelHandlers<In> | undefined): OpenChannel<In, Out> {
    const channel = new OpenChannel<In, Out>(id, this);
    channel.handlers = handlers;
    this.#lastId = id;
    this.#channels.set(id, channel);
    return channel;
  }

  /** One frame each in turn, so that one busy stream does not starve the others. */
  #pumpWaiting(): void {
    for (const stream of this.#waiting) {
      if (!this.canWrite) return;
      this.#waiting.delete(stream);
      stream.pump();
    }
  }

  #receive(chunk: Buffer): void {
    try {
      for (const frame of this.#decoder.push(chunk)) {
        if (!this.#isOpen) return;
        this.#dispatch(frame);
      }
    } catch (error) {
      this.#fail(asFault(error));
    }
  }

  #end(): void {
    if (this.#decoder.isAtBoundary) this.#finish(undefined);
    else
      this.#fail(
        new ProtocolError("protocol.closed", "the connection ended in the middle of a frame"),
      );
  }

  #dispatch(frame: Frame): void {
    const channel = this.#channels.get(frame.channel);
    if (frame.kind === "message") this.#message(frame, channel);
    else if (channel !== undefined) channel.data(frame.kind, frame.payload);
    else if (!this.#isLate(frame.channel)) throw unknownChannel(frame);
  }

  #message(frame: Frame, channel: OpenChannel<In, Out> | undefined): void {
    const { onMessage, onChannel, maxChannels = MAX_CHANNELS } = this.#options;
    if (channel === undefined && frame.channel !== 0 && this.#isLate(frame.channel)) return;
    const message = this.#decode(frame.payload);
    if (channel !== undefined) {
      channel.handlers?.onMessage(message);
    } else if (frame.channel === 0) {
      if (onMessage === undefined) throw unknownChannel(frame);
      onMessage(message);
    } else {
      if (onChannel === undefined || this.#channels.size >= maxChannels)
        throw unknownChannel(frame);
      const opened = this.#addChannel(frame.channel, undefined);
      opened.handlers = onChannel(opened, message);
    }
  }

  #decode(payload: Buffer): In {
    let value: unknown;
    try {
      value = parseJson(payload.toString("utf8"));
    } catch (cause) {
      throw new ProtocolError(
        "protocol.message",
        `a message of ${payload.length} bytes is not JSON`,
        { cause },
      );
    }
    const message = this.#options.decode(value);
    if (message !== undefined) return message;
    throw new ProtocolError(
      "protocol.message",
      `a message of ${payload.length} bytes does not follow its schema`,
    );
  }

  /** The opener may not know yet that we ended a channel. Its other side knows, so there a late frame is a fault. */
  #isLate(id: number): boolean {
    return this.#options.onChannel !== undefined && id !== 0 && id <= this.#lastId;
  }

  #fail(fault: ProtocolError): void {
    if (!this.#isOpen) return;
    this.#finish(fault);
    this.#options.onFault?.(fault);
  }

  #finish(fault: ProtocolError | undefined): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#waiting.clear();
    this.#input.destroy();
    this.#output.destroy();
    const open = [...this.#channels.values()];
    for (const channel of open) channel.close();
    for (const channel of open) channel.handlers?.onLost?.();
    this.#settle(fault);
  }
}

function asFault(error: unknown): ProtocolError {
  if (error instanceof ProtocolError) return error;
  return new ProtocolError(
    "protocol.message",
    `a message could not be handled: ${messageOf(error)}`,
    { cause: error },
  );
}

function unknownChannel(frame: Frame): ProtocolError {
  return new ProtocolError(
    "protocol.frame",
    `${frame.kind} frame on channel ${frame.channel}, which is not open`,
  );
}
