/**
 * Many channels over one duplex stream, used between owner and guest-init and between a command and the owner. A channel
 * carries messages and up to three byte streams with credit of their own, so that a stalled reader stalls its stream and
 * nothing else. Anything malformed or over a bound ends the connection: there is no second guess.
 */
import type { Duplex, Readable, Writable } from "node:stream";
import { messageOf, ProtocolError } from "../base/errors.ts";
import { parseJson } from "../base/json.ts";
import { encodeFrame, type Frame, FrameDecoder } from "./frame.ts";
import { InboundStream, OutboundStream, type StreamKind } from "./mux-streams.ts";

/** Most channels that are open at one time: sessions and copies of one bottle. */
export const MAX_CHANNELS = 256;
/** Unsent bytes at which a peer that does not read is given up. */
const MAX_BACKLOG_BYTES: number = 8 * 1024 * 1024;
/** Highest channel number: four bytes on the wire. */
const MAX_CHANNEL_ID = 0xffff_ffff;
/** Streams by their number in a window frame. */
const STREAMS: readonly (StreamKind | undefined)[] = [undefined, "stdin", "stdout", "stderr"];

/** One duplex stream, or the two halves of a pair of pipes. */
export type MuxStream = Duplex | { readonly input: Readable; readonly output: Writable };

/** Told of what happens on one channel. */
export interface ChannelHandlers<In> {
  /** A throw ends the connection. */
  readonly onMessage: (message: In) => void;
  /** The connection went while the channel was open. */
  readonly onLost?: () => void;
}

/** One channel. Its byte streams exist once asked for; data for a stream that nobody asked for ends the connection. */
export interface Channel<Out> {
  readonly id: number;
  /** Sends a message; dropped once the channel is closed. Throws {@link ProtocolError} when it is over MAX_MESSAGE_BYTES. */
  send(message: Out): void;
  /** Bytes from the peer. Ends, never fails: the channel's last message says how it went. */
  readable(kind: StreamKind): Readable;
  /** Bytes to the peer. Destroyed without an error when the channel closes. */
  writable(kind: StreamKind): Writable;
  /** Forgets the channel: readers get what has arrived, writers are destroyed. The side that ends a channel sends its last message first. */
  close(): void;
}

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
    if (!this.#isOpen) throw new ProtocolError("protocol.closed", "no session started: the connection is gone");
    if (this.#channels.size >= maxChannels || this.#lastId >= MAX_CHANNEL_ID) {
      throw new ProtocolError("protocol.message", `no session started: ${maxChannels} are running; at most ${maxChannels} may`);
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
      this.#fail(new ProtocolError("protocol.closed", `the peer left ${MAX_BACKLOG_BYTES} bytes unread`));
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
    else this.#fail(new ProtocolError("protocol.closed", "the connection ended in the middle of a frame"));
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
      if (onChannel === undefined || this.#channels.size >= maxChannels) throw unknownChannel(frame);
      const opened = this.#addChannel(frame.channel, undefined);
      opened.handlers = onChannel(opened, message);
    }
  }

  #decode(payload: Buffer): In {
    let value: unknown;
    try {
      value = parseJson(payload.toString("utf8"));
    } catch (cause) {
      throw new ProtocolError("protocol.message", `a message of ${payload.length} bytes is not JSON`, { cause });
    }
    const message = this.#options.decode(value);
    if (message !== undefined) return message;
    throw new ProtocolError("protocol.message", `a message of ${payload.length} bytes does not follow its schema`);
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

/** What a channel needs of its connection. */
interface ChannelPort {
  readonly canWrite: boolean;
  write(kind: Frame["kind"], id: number, payload: Buffer): void;
  wait(stream: OutboundStream): void;
  forget(id: number): void;
}

class OpenChannel<In, Out> implements Channel<Out> {
  readonly id: number;
  handlers: ChannelHandlers<In> | undefined;
  readonly #port: ChannelPort;
  readonly #inbound = new Map<StreamKind, InboundStream>();
  readonly #outbound = new Map<StreamKind, OutboundStream>();
  #isClosed = false;

  constructor(id: number, port: ChannelPort) {
    this.id = id;
    this.#port = port;
  }

  send(message: Out): void {
    if (!this.#isClosed) this.#port.write("message", this.id, Buffer.from(JSON.stringify(message)));
  }

  readable(kind: StreamKind): Readable {
    const known = this.#inbound.get(kind);
    if (known !== undefined) return known;
    const stream = new InboundStream((bytes) => this.#giveCredit(kind, bytes));
    if (this.#isClosed) stream.finish();
    else this.#inbound.set(kind, stream);
    return stream;
  }

  writable(kind: StreamKind): Writable {
    const known = this.#outbound.get(kind);
    if (known !== undefined) return known;
    const port = this.#port;
    const stream = new OutboundStream({
      get canWrite() {
        return port.canWrite;
      },
      wait: (waiting) => port.wait(waiting),
      writeData: (payload) => {
        if (!this.#isClosed) port.write(kind, this.id, payload);
      },
    });
    if (this.#isClosed) stream.destroy();
    else this.#outbound.set(kind, stream);
    return stream;
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#port.forget(this.id);
    for (const stream of this.#inbound.values()) stream.finish();
    for (const stream of this.#outbound.values()) stream.destroy();
  }

  /** Takes a data or window frame. Throws {@link ProtocolError}. */
  data(kind: Exclude<Frame["kind"], "message">, payload: Buffer): void {
    if (kind === "window") {
      this.#takeCredit(payload);
      return;
    }
    const stream = this.#inbound.get(kind);
    if (stream === undefined) throw new ProtocolError("protocol.frame", `${kind} data came on a channel that takes none`);
    stream.accept(payload);
  }

  #takeCredit(payload: Buffer): void {
    if (payload.length !== 4) throw new ProtocolError("protocol.frame", `window frame of ${payload.length} bytes; 4 are expected`);
    const kind = STREAMS[payload.readUInt8(0)];
    const stream = kind === undefined ? undefined : this.#outbound.get(kind);
    if (stream === undefined) throw new ProtocolError("protocol.frame", "a window frame names a stream that was not opened");
    stream.addCredit(payload.readUIntBE(1, 3));
  }

  #giveCredit(kind: StreamKind, bytes: number): void {
    if (this.#isClosed) return;
    const payload = Buffer.alloc(4);
    payload.writeUInt8(STREAMS.indexOf(kind), 0);
    payload.writeUIntBE(bytes, 1, 3);
    this.#port.write("window", this.id, payload);
  }
}

function asFault(error: unknown): ProtocolError {
  if (error instanceof ProtocolError) return error;
  return new ProtocolError("protocol.message", `a message could not be handled: ${messageOf(error)}`, { cause: error });
}

function unknownChannel(frame: Frame): ProtocolError {
  return new ProtocolError("protocol.frame", `${frame.kind} frame on channel ${frame.channel}, which is not open`);
}
