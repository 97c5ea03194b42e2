// One JSON object per line over a Unix socket, both ways: QEMU's monitor and the host's agent speak so.
import { once } from "node:events";
import { createConnection, type Socket } from "node:net";
import { HostHungError } from "./host-hung-error.ts";

/** A connection that speaks in lines; ends with an error for whoever waits when the other end goes. */
export class LineSocket {
  #socket: Socket;
  #pending = "";
  #onLine: (message: unknown) => void;
  /** Rejects when the connection is lost, never resolves. */
  readonly lost: Promise<never>;

  constructor(socket: Socket, what: string, onLine: (message: unknown) => void) {
    this.#socket = socket;
    this.#onLine = onLine;
    socket.setEncoding("utf8");
    socket.on("data", (text: string) => this.#take(text));
    this.lost = new Promise((_, reject) => {
      socket.on("error", reject);
      socket.on("close", () => reject(new HostHungError(`${what}: the connection was lost`)));
    });
    this.lost.catch(() => "told to those who wait");
  }

  send(message: unknown): void {
    this.#socket.write(`${JSON.stringify(message)}\n`);
  }

  close(): void {
    this.#socket.destroy();
  }

  #take(text: string): void {
    const lines = (this.#pending + text).split("\n");
    this.#pending = lines.pop() ?? "";
    for (const line of lines) if (line.trim() !== "") this.#onLine(JSON.parse(line));
  }
}

/** Connects to a socket that is about to appear. */
export async function connectSoon(path: string, signal: AbortSignal): Promise<Socket> {
  for (;;) {
    signal.throwIfAborted();
    const socket = createConnection(path);
    try {
      await once(socket, "connect");
      return socket;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
}
