/** The guest's connections, and which of them are in use: a stop closes those that are not at once and waits for the rest. */
import type { Socket } from "node:net";

/** What speaks over a connection. */
export interface Holder {
  /** Whether something is being answered. */
  readonly isBusy: boolean;
  /** Takes no further request, and closes after the last answer. */
  retire(): void;
}

/** Keeps track of sockets and of what speaks over them; a tunnel counts by what speaks inside it. */
export class Connections {
  readonly #holders = new Map<Socket, Holder | undefined>();
  #isStopping = false;

  add(socket: Socket): void {
    this.#holders.set(socket, undefined);
    socket.once("close", () => this.#holders.delete(socket));
  }

  /** Notes what speaks over a socket now. */
  hold(socket: Socket, holder: Holder): void {
    if (this.#holders.has(socket)) this.#holders.set(socket, holder);
    if (this.#isStopping) holder.retire();
  }

  /** Closes what is not in use, now and from now on. */
  drain(): void {
    this.#isStopping = true;
    for (const [socket, holder] of this.#holders) {
      // Not at once: the end of an answer may still be on its way to the system.
      if (holder?.isBusy === true) holder.retire();
      else socket.destroySoon();
    }
  }

  /** Closes everything. */
  cut(): void {
    for (const socket of this.#holders.keys()) socket.destroy();
  }
}
