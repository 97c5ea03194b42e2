/**
 * A guest's connection that speaks HTTP/1.1: one request at a time, each judged by itself. Invariant: bytes behind a request
 * are read as the next request or not at all; nothing of them is ever forwarded as it is.
 */
import type { Socket } from "node:net";
import { type Incoming, LINGER_MS, type Outgoing, type Switched } from "../message.ts";
import type { Limited, Sweeper } from "../sweeper.ts";
import { Malformed } from "./fields.ts";
import { type ExchangeHost, GuestExchange, UNREADABLE } from "./guest-exchange.ts";
import { type HeadMemory, parseRequestHead } from "./head.ts";
import { HeadBuffer, type TakenHead } from "./head-buffer.ts";
import { MessageWriter } from "./writer.ts";

/** Time for a whole header block. */
export const HEADERS_TIMEOUT_MS = 20_000;
/** Time that an idle connection is kept for its next request. */
export const KEEP_ALIVE_MS = 65_000;
/** Longest silence in the middle of a body. */
export const BODY_IDLE_MS = 60_000;
/** Time for the answer to a guest that has closed its own direction. */
const HALF_CLOSED_MS = 60_000;
/** Bytes of further requests that are kept while one is being answered. */
const MAX_PIPELINED_BYTES: number = 64 * 1024;

/** What happens with requests. */
export interface GuestHandler {
  /** Answers a request, now or later, and throws nothing. */
  onRequest(incoming: Incoming, outgoing: Outgoing): void;
  /** Refuses what is no request. */
  onMalformed(why: string, outgoing: Outgoing): void;
  /** Hears of a fault of ours, after which the connection is cut. */
  onFault(error: unknown): void;
  /** Takes the bare connection over, where that is possible. */
  readonly onConnect: ((target: string, rest: Buffer | undefined) => void) | undefined;
}

export interface GuestConnectionOptions {
  readonly socket: Socket;
  readonly handler: GuestHandler;
  readonly sweeper: Sweeper;
  /** An end of input means that the guest is gone: inside TLS nobody closes one direction only. */
  readonly endsAtOnce: boolean;
}

type Mode = "open" | "closing" | "detached";

/** One connection. */
export class GuestConnection implements ExchangeHost, Limited {
  readonly writer: MessageWriter;
  deadline = 0;
  readonly #options: GuestConnectionOptions;
  readonly #socket: Socket;
  readonly #heads = new HeadBuffer();
  readonly #memory: HeadMemory = { lines: "", block: undefined };
  #exchange: GuestExchange | undefined;
  #held: Buffer | undefined;
  #mode: Mode = "open";
  #isReading = false;
  #hasEnded = false;
  #mayStay = true;

  constructor(options: GuestConnectionOptions) {
    const { socket, sweeper } = options;
    this.#options = options;
    this.#socket = socket;
    this.writer = new MessageWriter(socket);
    sweeper.add(this);
    this.#allow(KEEP_ALIVE_MS);
    socket.on("data", this.#onData).on("end", this.#onEnd).on("drain", this.#onDrain);
    socket.on("error", this.#onError).on("close", this.#onClose);
  }

  /** Whether a request is being answered. */
  get isBusy(): boolean {
    return this.#exchange !== undefined;
  }

  /** Takes no further request. */
  retire(): void {
    this.#mayStay = false;
    this.#exchange?.closeAfter();
  }

  readonly #onData = (chunk: Buffer): void => {
    if (this.#mode !== "open") return;
    try {
      this.#read(chunk);
    } catch (error) {
      this.#options.handler.onFault(error);
      this.#socket.destroy();
    }
  };

  #read(chunk: Buffer): void {
    const exchange = this.#exchange;
    if (exchange === undefined) {
      this.#readHeads(chunk);
      return;
    }
    const at = exchange.isBodyOpen ? exchange.feed(chunk, 0) : 0;
    if (exchange.isBodyOpen) this.#allow(BODY_IDLE_MS);
    else if (this.#exchange === exchange) this.#afterBody(chunk.subarray(at));
    else if (at < chunk.length) this.#readHeads(chunk.subarray(at));
  }

  #afterBody(rest: Buffer): void {
    this.deadline = this.#hasEnded ? this.deadline : 0;
    if (rest.length === 0) return;
    this.#held = this.#held === undefined ? rest : Buffer.concat([this.#held, rest]);
    if (this.#held.length > MAX_PIPELINED_BYTES) this.#socket.pause();
  }

  /** Reads requests one after another, as long as each is answered at once. */
  #readHeads(first: Buffer): void {
    let bytes: Buffer | undefined = first;
    this.#isReading = true;
    while (bytes !== undefined && this.#mode === "open" && this.#exchange === undefined) {
      this.#readHead(bytes);
      bytes = this.#exchange === undefined ? this.#held : undefined;
      if (bytes !== undefined) this.#held = undefined;
    }
    this.#isReading = false;
  }

  #readHead(bytes: Buffer): void {
    const wasEmpty = this.#heads.isEmpty;
    const taken = this.#heads.take(bytes);
    if (taken === undefined) {
      if (wasEmpty) this.#allow(HEADERS_TIMEOUT_MS);
      return;
    }
    if (taken instanceof Malformed) this.#refuse(taken.why);
    else this.#begin(taken);
  }

  #begin({ text, rest }: TakenHead): void {
    const head = parseRequestHead(text, this.#memory);
    if (head instanceof Malformed) {
      this.#refuse(head.why);
      return;
    }
    const { onConnect } = this.#options.handler;
    if (head.method === "CONNECT" && onConnect !== undefined) {
      if (head.framing.kind !== "none") this.#refuse("CONNECT has no body");
      else {
        this.#detach();
        onConnect(head.target, rest);
      }
      return;
    }
    const exchange = new GuestExchange(head, this);
    this.#exchange = exchange;
    if (!this.#mayStay) exchange.closeAfter();
    this.deadline = 0;
    const at = rest === undefined ? 0 : exchange.feed(rest, 0);
    if (exchange.isBodyOpen) this.#allow(BODY_IDLE_MS);
    else if (rest !== undefined && at < rest.length) this.#held = rest.subarray(at);
    this.#options.handler.onRequest(exchange.incoming, exchange);
  }

  #refuse(why: string): void {
    const exchange = new GuestExchange(UNREADABLE, this);
    // Whoever sends one malformed request may mean another end of it than we do.
    exchange.closeAfter();
    this.#exchange = exchange;
    this.#held = undefined;
    this.#options.handler.onMalformed(why, exchange);
  }

  answered(exchange: GuestExchange): void {
    if (this.#exchange !== exchange) return;
    const isWhole = !exchange.isBodyOpen;
    this.#exchange = undefined;
    if (!isWhole || !exchange.keepsOpen || this.#hasEnded) {
      this.#close();
      return;
    }
    this.#allow(KEEP_ALIVE_MS);
    if (this.#socket.isPaused()) this.#socket.resume();
    const held = this.#held;
    if (held === undefined || this.#isReading) return;
    this.#held = undefined;
    this.#readHeads(held);
  }

  cut(): void {
    this.#socket.destroy();
  }

  release(): Switched {
    const rest = this.#held;
    this.#held = undefined;
    this.#exchange = undefined;
    this.#detach();
    return { socket: this.#socket, rest };
  }

  pause(): void {
    // Silence that we asked for is nobody's fault.
    this.deadline = 0;
    this.#socket.pause();
  }

  resume(): void {
    if (this.#exchange?.isBodyOpen === true) this.#allow(BODY_IDLE_MS);
    this.#socket.resume();
  }

  discard(): void {
    this.#exchange?.closeAfter();
    this.#socket.resume();
  }

  expire(): void {
    const exchange = this.#exchange;
    if (this.#mode === "open" && exchange?.isBodyOpen === true) {
      exchange.breakBody("slow", "nothing came for too long");
    } else if (this.#mode === "open" && exchange === undefined && !this.#heads.isEmpty) {
      this.#refuse("its head did not come to an end in time");
    } else this.#socket.destroy();
  }

  #allow(ms: number): void {
    this.deadline = this.#options.sweeper.after(ms);
  }

  /** Closes our direction and reads on for a moment, because unread bytes would take the answer away from the guest. */
  #close(): void {
    this.#mode = "closing";
    this.#held = undefined;
    this.#allow(LINGER_MS);
    this.#socket.end();
    this.#socket.resume();
  }

  readonly #onEnd = (): void => {
    this.#hasEnded = true;
    const exchange = this.#exchange;
    if (exchange === undefined || this.#options.endsAtOnce || exchange.isBodyOpen) {
      exchange?.gone();
      this.#socket.end();
      if (exchange !== undefined) this.#socket.destroySoon();
    } else this.#allow(HALF_CLOSED_MS);
  };

  readonly #onDrain = (): void => {
    this.#exchange?.onDrain?.();
  };

  readonly #onError = (): void => {
    this.#socket.destroy();
  };

  readonly #onClose = (): void => {
    const exchange = this.#exchange;
    this.#exchange = undefined;
    this.#options.sweeper.delete(this);
    exchange?.gone();
  };

  #detach(): void {
    const socket = this.#socket;
    this.#mode = "detached";
    this.#options.sweeper.delete(this);
    socket.pause();
    socket.off("data", this.#onData).off("end", this.#onEnd).off("drain", this.#onDrain);
    socket.off("error", this.#onError).off("close", this.#onClose);
  }
}
