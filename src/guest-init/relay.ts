/**
 * The relay: 127.0.0.1:PORT in the guest to a door, a unix socket or an address. It copies bytes, keeps half-closed connections half
 * closed, and turns a door that refuses or breaks into a reset, so that a cut answer never looks like a whole one.
 */
import { createServer, type Server, Socket } from "node:net";
import { parseTarget } from "./door-target.ts";

/** Connections per door; more are closed at once. A coding agent with parallel downloads uses some dozens. */
export const MAX_RELAY_CONNECTIONS = 512;
const LOOPBACK = "127.0.0.1";
/** Time for a client to read the last answer of a door that is gone, while it still sends. */
const LINGER_MS = 2000;

export interface RelayPlan {
  readonly port: number;
  /** A socket's path, or `tcp:ADDRESS:PORT`. */
  readonly socket: string;
}

/** Listens for all doors. Rejects with a system error when a port cannot be had. */
export async function openRelays(plans: readonly RelayPlan[]): Promise<void> {
  await Promise.all(plans.map(openRelay));
}

function openRelay(plan: RelayPlan): Promise<Server> {
  // A connection is read only once its door has answered.
  const server = createServer(
    { allowHalfOpen: true, pauseOnConnect: true, noDelay: true },
    (client) => relayConnection(client, plan.socket),
  );
  server.maxConnections = MAX_RELAY_CONNECTIONS;
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(plan.port, LOOPBACK, () => {
      server.off("error", reject);
      // Running out of descriptors fails one accept, not the guest.
      server.on("error", () => undefined);
      resolve(server);
    });
  });
}

function relayConnection(client: Socket, path: string): void {
  const door = new DoorSocket({ allowHalfOpen: true });
  const abort = (): void => {
    door.destroy();
    resetAfterFlush(client);
  };
  client.on("error", abort);
  door.on("error", abort);
  client.on("close", () => {
    if (!door.readableEnded || !door.writableEnded) door.destroy();
  });
  door.on("close", () => {
    if (!door.readableEnded) abort();
  });
  // Nobody takes what the client sends any more: it is to learn that now, not when it has sent everything.
  const linger = (): void => {
    if (!door.isBroken || !door.readableEnded || client.destroyed) return;
    const timer = setTimeout(() => client.resetAndDestroy(), LINGER_MS);
    client.once("close", () => clearTimeout(timer));
  };
  door.once("broken", linger);
  door.once("end", linger);
  door.once("connect", () => {
    client.pipe(door);
    door.pipe(client);
  });
  door.connect(parseTarget(path));
}

type WriteCallback = (error?: Error | null) => void;

/**
 * A door may answer and close while the client is still sending: a refused upload, for one. Node would give up a socket at the
 * first write that fails, and with it the answer that is there to be read; so such writes are thrown away instead.
 */
export class DoorSocket extends Socket {
  /** Whether something that was written did not arrive; `broken` is emitted when that comes to light. */
  isBroken = false;

  override _write(chunk: Buffer, encoding: BufferEncoding, callback: WriteCallback): void {
    super._write(chunk, encoding, (error) => this.#written(error, callback));
  }

  override _writev(
    chunks: { chunk: Buffer; encoding: BufferEncoding }[],
    callback: WriteCallback,
  ): void {
    super._writev?.(chunks, (error) => this.#written(error, callback));
  }

  #written(error: Error | null | undefined, callback: WriteCallback): void {
    callback();
    if (error === null || error === undefined || this.isBroken) return;
    this.isBroken = true;
    this.emit("broken");
  }
}

/** What the door said before it broke may hold the reason, so it goes out first. */
function resetAfterFlush(client: Socket): void {
  if (client.destroyed || client.writableEnded) return;
  client.write("", () => {
    if (!client.destroyed) client.resetAndDestroy();
  });
}
