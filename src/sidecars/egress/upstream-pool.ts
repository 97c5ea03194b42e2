/**
 * Connections to upstreams, kept and used again per scheme and authority. Invariant: a connection is only ever used for the
 * authority that it was opened and verified for, at the address that was judged then.
 */
import { type Authority, formatAuthority, type Scheme } from "../../policy/authority.ts";
import { DialError, type DialOptions, dial } from "./dial.ts";
import { type LinkOwner, UpstreamConnection } from "./http1/upstream-connection.ts";
import type { UpstreamLink } from "./message.ts";
import { Sweeper } from "./sweeper.ts";

/** Connections to one authority at a time: more than any package manager opens. */
export const MAX_SOCKETS_PER_AUTHORITY = 64;
/** Connections of one bottle in all. */
export const MAX_SOCKETS = 256;

/** Name of an endpoint in the pool. */
export function poolKeyOf(scheme: Scheme, authority: Authority): string {
  return `${scheme}://${formatAuthority(authority)}`;
}

interface Waiter {
  readonly options: DialOptions;
  readonly resolve: (link: UpstreamLink) => void;
  readonly reject: (error: unknown) => void;
}

/** Connections of one endpoint. */
class Endpoint implements LinkOwner {
  readonly idle: UpstreamConnection[] = [];
  readonly waiting: Waiter[] = [];
  readonly busy = new Set<UpstreamConnection>();
  /** Those open, and those that are being opened. */
  count = 0;
  readonly #pool: UpstreamPool;

  constructor(pool: UpstreamPool) {
    this.#pool = pool;
  }

  onFree(connection: UpstreamConnection): void {
    this.busy.delete(connection);
    const waiter = this.waiting.shift();
    if (waiter !== undefined) waiter.resolve(this.use(connection));
    else if (this.#pool.isRetired) connection.close();
    else this.idle.push(connection);
  }

  onClosed(connection: UpstreamConnection): void {
    this.busy.delete(connection);
    const at = this.idle.indexOf(connection);
    if (at >= 0) this.idle.splice(at, 1);
    this.count -= 1;
    this.#pool.onRoom();
  }

  use(connection: UpstreamConnection): UpstreamConnection {
    this.busy.add(connection);
    return connection;
  }
}

/** The pool of one policy; a reload makes a new one. */
export class UpstreamPool {
  isRetired = false;
  readonly #sweeper = new Sweeper();
  readonly #endpoints = new Map<string, Endpoint>();
  #total = 0;

  /** Whether a request to this endpoint would find an open connection. */
  hasIdle(key: string): boolean {
    return this.#endpoints.get(key)?.idle.some((it) => it.isUsable) === true;
  }

  /** An open connection that nobody uses; the one used last, because it is the least likely to be gone. */
  take(key: string): UpstreamLink | undefined {
    const endpoint = this.#endpoints.get(key);
    for (let last = endpoint?.idle.pop(); last !== undefined; last = endpoint?.idle.pop()) {
      if (last.isUsable) return endpoint?.use(last);
    }
    return undefined;
  }

  /** Opens a connection, or waits until one may be opened or is free. Throws DialError. */
  open(key: string, options: DialOptions): Promise<UpstreamLink> {
    const endpoint = this.#endpointOf(key);
    if (this.#hasRoom(endpoint)) return this.#connect(endpoint, options);
    return new Promise((resolve, reject) => {
      endpoint.waiting.push({ options, resolve, reject });
    });
  }

  /** Takes back what was taken or opened and not used. */
  giveBack(key: string, link: UpstreamLink): void {
    if (link instanceof UpstreamConnection) this.#endpoints.get(key)?.onFree(link);
  }

  /** Closes idle connections to an endpoint: one of them was found dead. */
  closeIdle(key: string): void {
    for (const connection of [...(this.#endpoints.get(key)?.idle ?? [])]) connection.close();
  }

  /** Closes what is idle, now and from now on; what is in use ends with its exchange. */
  retire(): void {
    this.isRetired = true;
    for (const key of this.#endpoints.keys()) this.closeIdle(key);
  }

  /** A place became free. */
  onRoom(): void {
    this.#total -= 1;
    for (const [key, endpoint] of this.#endpoints) {
      const waiter = this.#hasRoom(endpoint) ? endpoint.waiting.shift() : undefined;
      if (waiter !== undefined) {
        this.#connect(endpoint, waiter.options).then(waiter.resolve, waiter.reject);
        return;
      }
      if (endpoint.count === 0 && endpoint.waiting.length === 0) this.#endpoints.delete(key);
    }
  }

  #endpointOf(key: string): Endpoint {
    const known = this.#endpoints.get(key);
    if (known !== undefined) return known;
    const endpoint = new Endpoint(this);
    this.#endpoints.set(key, endpoint);
    return endpoint;
  }

  #hasRoom(endpoint: Endpoint): boolean {
    if (endpoint.count >= MAX_SOCKETS_PER_AUTHORITY) return false;
    if (this.#total >= MAX_SOCKETS) this.#closeOneIdle();
    return this.#total < MAX_SOCKETS;
  }

  /** Other endpoints' idle connections are in the way of what is wanted now. */
  #closeOneIdle(): void {
    for (const { idle } of this.#endpoints.values()) {
      const oldest = idle.shift();
      if (oldest === undefined) continue;
      oldest.close();
      return;
    }
  }

  async #connect(endpoint: Endpoint, options: DialOptions): Promise<UpstreamLink> {
    endpoint.count += 1;
    this.#total += 1;
    try {
      const socket = await dial(options);
      if (socket.destroyed) throw new DialError("upstream-failed", "the connection was closed");
      return endpoint.use(new UpstreamConnection(socket, this.#sweeper, endpoint));
    } catch (error) {
      endpoint.count -= 1;
      this.onRoom();
      throw error;
    }
  }
}
