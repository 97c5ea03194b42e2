/**
 * Listeners of ours that a guest must not reach. Their own word counts, not a guest's silence: what we send to them comes in after
 * all that was sent before, so that nothing is still on its way when ours is there.
 */
import { randomBytes } from "node:crypto";
import { createSocket } from "node:dgram";
import { connect, createServer } from "node:net";
import { withDeadline } from "../base/deadline.ts";
import type { Scope } from "../base/scope.ts";

const LOOPBACK = "127.0.0.1";
const ANYWHERE = "0.0.0.0";
/** Nothing of a machine's own gets lost on it; where it does all the same, nothing is proven. */
const OWN_MS = 5_000;

/** A listener on every IPv4 address of this machine. */
export interface OwnListener {
  readonly port: number;
  /** Addresses that came here until now. Throws TimeoutError when we ourselves do not get through. */
  strangers(): Promise<readonly string[]>;
}

/** Takes connections, and ends them at once. */
export async function listenForConnections(scope: Scope): Promise<OwnListener> {
  const strangers = new Strangers();
  const server = createServer((socket) => {
    strangers.add(`${socket.remoteAddress}:${socket.remotePort}`);
    socket.on("error", () => undefined);
    socket.destroy();
  });
  scope.defer("connection listener", () => new Promise((resolve) => server.close(resolve)));
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, ANYWHERE, resolve);
  });
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  return {
    port,
    strangers: () => {
      const socket = connect({ host: LOOPBACK, port });
      scope.defer("own connection", () => socket.destroy());
      socket.on("error", () => undefined);
      socket.once("connect", () => strangers.expect(`${LOOPBACK}:${socket.localPort}`));
      return strangers.told();
    },
  };
}

/** Takes datagrams. */
export async function listenForDatagrams(scope: Scope): Promise<OwnListener> {
  const strangers = new Strangers();
  const nonce = randomBytes(16).toString("hex");
  const socket = createSocket("udp4");
  scope.defer("datagram listener", () => void socket.close());
  socket.on("message", (message, { address }) =>
    strangers.add(message.toString("latin1") === nonce ? nonce : address),
  );
  await new Promise<void>((resolve, reject) => {
    socket.once("error", reject);
    socket.bind(0, ANYWHERE, resolve);
  });
  const { port } = socket.address();
  return {
    port,
    strangers: () => {
      strangers.expect(nonce);
      socket.send(nonce, port, LOOPBACK);
      return strangers.told();
    },
  };
}

/** Who came, until the one that was expected did. */
class Strangers {
  readonly #came: string[] = [];
  readonly #complete = Promise.withResolvers<void>();
  #own: string | undefined;

  add(who: string): void {
    this.#came.push(who);
    this.#check();
  }

  expect(own: string): void {
    this.#own = own;
    this.#check();
  }

  async told(): Promise<readonly string[]> {
    const what = "our own listener to hear us";
    await withDeadline(this.#complete.promise, { what, timeoutMs: OWN_MS });
    return this.#came.filter((who) => who !== this.#own);
  }

  #check(): void {
    if (this.#own !== undefined && this.#came.includes(this.#own)) this.#complete.resolve();
  }
}
