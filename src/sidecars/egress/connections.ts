/** The guest's connections, and which of them are in use: a stop closes those that are not at once and waits for the rest. */
import type { ServerResponse } from "node:http";
import type { Socket } from "node:net";

/** Keeps track of sockets; a tunnel counts as in use while the decrypted socket on top of it is. */
export class Connections {
  readonly #sockets = new Set<Socket>();
  readonly #answers = new WeakMap<Socket, Set<ServerResponse>>();
  readonly #carried = new WeakMap<Socket, Socket>();
  #isStopping = false;

  add(socket: Socket): void {
    this.#sockets.add(socket);
    socket.once("close", () => this.#sockets.delete(socket));
  }

  /** Notes that `secure` is what the bytes of `socket` decrypt to. */
  carry(socket: Socket, secure: Socket): void {
    this.#carried.set(socket, secure);
  }

  /** Notes an answer that is being given on a socket. */
  begin(socket: Socket, response: ServerResponse): void {
    const open = this.#answers.get(socket) ?? new Set();
    this.#answers.set(socket, open.add(response));
    response.once("close", () => {
      open.delete(response);
      if (this.#isStopping) this.#closeUnused();
    });
  }

  /** Answers that are not finished yet. */
  answersOn(socket: Socket): readonly ServerResponse[] {
    return [...(this.#answers.get(socket) ?? [])];
  }

  /** Closes what is not in use, now and from now on. */
  drain(): void {
    this.#isStopping = true;
    this.#closeUnused();
  }

  /** Closes everything. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  #closeUnused(): void {
    for (const socket of this.#sockets) {
      const top = this.#carried.get(socket) ?? socket;
      // Not at once: the end of an answer may still be on its way to the system.
      if (this.answersOn(top).length === 0) socket.destroySoon();
    }
  }
}
