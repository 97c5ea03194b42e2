/** The init door: where guest-init connects once, before any guest code runs. After that one connection it does not exist. */
import { chmodSync, lstatSync, unlinkSync } from "node:fs";
import { unlink } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { withDeadline } from "../../base/deadline.ts";
import { LaunchError, messageOf, systemCode } from "../../base/errors.ts";
import { ignore } from "../../base/log.ts";

/** Any guest uid may connect; the 0700 directory above keeps other users of the host out. */
const DOOR_MODE = 0o666;
/** Longest path of a unix socket on every system we run on (macOS: 104 with its NUL). */
const MAX_SOCKET_PATH = 103;

export interface AcceptOptions {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** The listening door. Disposing it closes it, and the connection if nobody took it. */
export interface InitDoor extends AsyncDisposable {
  readonly path: string;
  /** Waits for guest-init. Throws LaunchError `launch.guest-init` when it does not come in time, or the signal's reason. */
  accept(options: AcceptOptions): Promise<Socket>;
  close(): Promise<void>;
}

/** Opens the door at `path`, replacing a socket that an earlier run left. Throws LaunchError `launch.backend`. */
export async function openInitDoor(path: string): Promise<InitDoor> {
  if (Buffer.byteLength(path) > MAX_SOCKET_PATH) {
    throw notOpened(`${path} is over ${MAX_SOCKET_PATH} bytes; a shorter run directory is needed`);
  }
  try {
    removeStale(path);
    const door = new Door(path);
    await door.listen();
    return door;
  } catch (error) {
    throw notOpened(messageOf(error), error);
  }
}

class Door implements InitDoor {
  readonly path: string;
  readonly #server: Server;
  readonly #connected: Promise<Socket>;
  #socket: Socket | undefined;
  #isTaken = false;
  #closing: Promise<void> | undefined;

  constructor(path: string) {
    this.path = path;
    this.#server = createServer({ pauseOnConnect: true });
    this.#connected = new Promise((resolve) => {
      this.#server.on("connection", (socket) => this.#admit(socket, resolve));
    });
  }

  async listen(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(this.path, resolve);
    });
    chmodSync(this.path, DOOR_MODE);
  }

  async accept(options: AcceptOptions): Promise<Socket> {
    const { timeoutMs, signal } = options;
    try {
      const waited = { what: "guest-init to connect to its door", timeoutMs, signal };
      const socket = await withDeadline(this.#connected, waited);
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

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
    if (!this.#isTaken) this.#socket?.destroy();
  }

  #admit(socket: Socket, resolve: (socket: Socket) => void): void {
    if (this.#socket !== undefined) {
      socket.destroy();
      return;
    }
    this.#socket = socket;
    // A guest that goes before it is taken must not be an unheard error.
    socket.on("error", () => undefined);
    void this.close();
    resolve(socket);
  }

  /** Stops listening at once; does not wait for the connection, which lives on. */
  async #close(): Promise<void> {
    this.#server.close();
    await ignore(unlink(this.path), "closing a listener removes its socket too");
  }
}

function removeStale(path: string): void {
  try {
    if (lstatSync(path).isSocket()) unlinkSync(path);
  } catch (error) {
    if (systemCode(error) !== "ENOENT") throw error;
  }
}

function notOpened(why: string, cause?: unknown): LaunchError {
  return new LaunchError("launch.backend", `the init door was not opened: ${why}`, { cause });
}
