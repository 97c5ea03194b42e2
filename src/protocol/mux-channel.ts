/**
 * One channel of a mux: its messages go through the connection, its byte streams have credit of their own. Data or credit for a
 * stream that nobody asked for is a fault.
 */
import type { Readable, Writable } from "node:stream";
import { ProtocolError } from "../base/errors.ts";
import type { Frame } from "./frame.ts";
import { InboundStream, OutboundStream, type StreamKind } from "./mux-streams.ts";

/** Streams by their number in a window frame. */
const STREAMS: readonly (StreamKind | undefined)[] = [undefined, "stdin", "stdout", "stderr"];

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

/** What a channel needs of its connection. */
export interface ChannelPort {
  readonly canWrite: boolean;
  write(kind: Frame["kind"], id: number, payload: Buffer): void;
  wait(stream: OutboundStream): void;
  forget(id: number): void;
}

/** Our end of a channel, fed by its connection. */
export class OpenChannel<In, Out> implements Channel<Out> {
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
    if (stream === undefined)
      throw new ProtocolError("protocol.frame", `${kind} data came on a channel that takes none`);
    stream.accept(payload);
  }

  #takeCredit(payload: Buffer): void {
    if (payload.length !== 4)
      throw new ProtocolError(
        "protocol.frame",
        `window frame of ${payload.length} bytes; 4 are expected`,
      );
    const kind = STREAMS[payload.readUInt8(0)];
    const stream = kind === undefined ? undefined : this.#outbound.get(kind);
    if (stream === undefined)
      throw new ProtocolError(
        "protocol.frame",
        "a window frame names a stream that was not opened",
      );
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
