/**
 * A connection to an upstream that speaks HTTP/1.1: one exchange at a time. Invariant: it is used again only when both
 * messages of an exchange came to their ends and not one byte too many was sent.
 */
import type { Socket } from "node:net";
import type { AnswerReceiver, ForwardBody, ForwardHead, UpstreamLink } from "../message.ts";
import type { Limited, Sweeper } from "../sweeper.ts";
import { HeadBuffer } from "./head-buffer.ts";
import { UpstreamExchange } from "./upstream-exchange.ts";
import { MessageWriter } from "./writer.ts";

/** Longest silence of an upstream: models think for minutes before the first byte. */
export const UPSTREAM_IDLE_MS: number = 15 * 60 * 1000;
/** Time an idle connection is kept: below the 60 s of common load balancers. */
export const IDLE_KEPT_MS = 30_000;

/** Told what becomes of a connection. */
export interface LinkOwner {
  /** It can be used again. */
  onFree(connection: UpstreamConnection): void;
  onClosed(connection: UpstreamConnection): void;
}

/** One connection. */
export class UpstreamConnection implements UpstreamLink, Limited {
  readonly version = "1.1";
  deadline = 0;
  readonly #socket: Socket;
  readonly #sweeper: Sweeper;
  readonly #owner: LinkOwner;
  readonly #writer: MessageWriter;
  readonly #heads = new HeadBuffer();
  #exchange: UpstreamExchange | undefined;
  #used = 0;
  #error: Error | undefined;

  constructor(socket: Socket, sweeper: Sweeper, owner: LinkOwner) {
    this.#socket = socket;
    this.#sweeper = sweeper;
    this.#owner = owner;
    this.#writer = new MessageWriter(socket);
    sweeper.add(this);
    socket.on("data", this.#onData).on("end", this.#onEnd).on("drain", this.#onDrain);
    socket.on("error", (error) => {
      this.#error = error;
    });
    socket.on("close", () => this.#onClose());
    socket.resume();
  }

  get isUsable(): boolean {
    return !this.#socket.destroyed && this.#socket.writable && this.#exchange === undefined;
  }

  send(head: ForwardHead, receiver: AnswerReceiver, whole: Buffer | undefined): ForwardBody {
    const exchange = new UpstreamExchange(head, receiver, {
      socket: this.#socket,
      writer: this.#writer,
      heads: this.#heads,
      isFirst: this.#used === 0,
      over: (isReusable) => this.#over(isReusable),
      touch: () => this.#touch(),
      release: () => this.#release(),
    });
    this.#used += 1;
    this.#exchange = exchange;
    this.#touch();
    exchange.begin(head, whole);
    return exchange;
  }

  /** Closes it, whatever it does. */
  close(): void {
    this.#socket.destroy();
  }

  expire(): void {
    this.#error = new Error("no byte came for too long");
    this.#socket.destroy();
  }

  #touch(): void {
    this.deadline = this.#sweeper.after(UPSTREAM_IDLE_MS);
  }

  readonly #onData = (chunk: Buffer): void => {
    // Nobody asked: whatever this is, it must not be taken for the next answer.
    if (this.#exchange === undefined) {
      this.#socket.destroy();
      return;
    }
    try {
      this.#exchange.feed(chunk);
    } catch (error) {
      this.#socket.destroy(error instanceof Error ? error : new Error("a fault of our own"));
    }
  };

  readonly #onEnd = (): void => {
    const exchange = this.#exchange;
    if (exchange === undefined || !exchange.endsHere()) this.#socket.destroy();
  };

  readonly #onDrain = (): void => this.#exchange?.onDrain();

  /** Lets the socket go; the owner still counts it until it closes. */
  #release(): Socket {
    this.#exchange = undefined;
    this.#sweeper.delete(this);
    return this.#socket
      .off("data", this.#onData)
      .off("end", this.#onEnd)
      .off("drain", this.#onDrain);
  }

  #onClose(): void {
    const exchange = this.#exchange;
    this.#exchange = undefined;
    this.#sweeper.delete(this);
    this.#owner.onClosed(this);
    exchange?.broken(this.#error ?? new Error("the connection was closed"));
  }

  #over(isReusable: boolean): void {
    this.#exchange = undefined;
    if (!isReusable || this.#socket.destroyed) {
      this.#socket.destroy();
      return;
    }
    this.deadline = this.#sweeper.after(IDLE_KEPT_MS);
    if (this.#socket.isPaused()) this.#socket.resume();
    this.#owner.onFree(this);
  }
}
