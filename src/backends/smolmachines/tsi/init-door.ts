/**
 * The init door on TCP, for guests whose sockets cannot be mounted: it listens on the bottle's own alias until the one connection
 * that knows the token has come. Whoever else connects is cut off without a word.
 */
import { randomBytes, timingSafeEqual } from "node:crypto";
import { createServer, type Server, type Socket } from "node:net";
import { withDeadline } from "../../../base/deadline.ts";
import { LaunchError, messageOf } from "../../../base/errors.ts";

const TOKEN_BYTES = 32;
/** Connections that may be on their way at once; more are cut off. */
const MAX_CONNECTIONS = 16;
/** Time for a connection to say its token. */
const GREETING_MS = 10_000;

/** How long, and until when, guest-init is waited for. */
export interface AcceptOptions {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** The listening door. Disposing closes it, and the connection if nobody took it. */
export class TcpInitDoor implements AsyncDisposable {
  /** What guest-init must say first. */
  readonly token: string = randomBytes(TOKEN_BYTES).toString("hex");
  readonly #host: string;
  readonly #server: Server;
  readonly #admitted = Promise.withResolvers<Socket>();
  #admittedSocket: Socket | undefined;
  #isTaken = false;
  #port = 0;

  constructor(host: string) {
    this.#host = host;
    this.#server = createServer((socket) => this.#greet(socket));
    this.#server.maxConnections = MAX_CONNECTIONS;
  }

  /** Where guest-init connects: `tcp:ADDRESS:PORT`. */
  get target(): string {
    return `tcp:${this.#host}:${this.#port}`;
  }

  /** Listens. Throws LaunchError `launch.backend`. */
  async listen(): Promise<void> {
    try {
      await new Promise<void>((resolve, reject) => {
        this.#server.once("error", reject);
        this.#server.listen(0, this.#host, resolve);
      });
    } catch (cause) {
      throw new LaunchError(
        "launch.backend",
        `the init door was not opened on ${this.#host}: ${messageOf(cause)}`,
        { cause },
      );
    }
    const address = this.#server.address();
    this.#port = typeof address === "object" && address !== null ? address.port : 0;
  }

  /** Waits for guest-init. Throws LaunchError `launch.guest-init`, or the signal's reason. */
  async accept({ timeoutMs, signal }: AcceptOptions): Promise<Socket> {
    try {
      const what = "guest-init to connect to its door";
      const socket = await withDeadline(this.#admitted.promise, { what, timeoutMs, signal });
      this.#isTaken = true;
      return socket;
    } catch (error) {
      if (signal?.aborted === true) throw error;
      throw new LaunchError(
        "launch.guest-init",
        `the guest's first process did not connect: ${messageOf(error)}`,
        { cause: error },
      );
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    if (!this.#isTaken) this.#admittedSocket?.destroy();
    return Promise.resolve();
  }

  /** Reads exactly the greeting; what follows it stays for whoever takes the connection. */
  #greet(socket: Socket): void {
    const expected = Buffer.from(`${this.token}\n`);
    // A stranger that goes away must not be an unheard error.
    socket.on("error", () => undefined);
    socket.setTimeout(GREETING_MS, () => socket.destroy());
    const read = (): void => {
      const bytes: unknown = socket.read(expected.length);
      if (!(bytes instanceof Buffer)) return;
      socket.off("readable", read);
      socket.setTimeout(0);
      const isKnown = bytes.length === expected.length && timingSafeEqual(bytes, expected);
      if (!isKnown || this.#admittedSocket !== undefined) socket.destroy();
      else this.#admit(socket);
    };
    socket.on("readable", read);
  }

  #admit(socket: Socket): void {
    this.#admittedSocket = socket;
    socket.setNoDelay(true);
    this.#server.close();
    this.#admitted.resolve(socket);
  }
}

/** Opens a door on an address of the loopback. Throws LaunchError `launch.backend`. */
export async function openTcpInitDoor(host: string): Promise<TcpInitDoor> {
  const door = new TcpInitDoor(host);
  await door.listen();
  return door;
}
