/**
 * Connections to upstreams, kept and used again per scheme and authority. Invariant: a connection is only ever used for the
 * authority that it was opened and verified for, at the address that was judged then.
 */
import { type Authority, formatAuthority, type Scheme } from "../../policy/authority.ts";
import { DialError } from "./dial.ts";
import { Endpoint, MAX_SOCKETS_PER_AUTHORITY, type OpenOptions } from "./endpoint.ts";
import type { UpstreamLink } from "./message.ts";
import { Sweeper } from "./sweeper.ts";

/** Connections of one bottle in all. */
export const MAX_SOCKETS = 256;

/** Name of an endpoint in the pool. */
export function poolKeyOf(scheme: Scheme, authority: Authority): string {
  return `${scheme}://${formatAuthority(authority)}`;
}

const retired = (): DialError =>
  new DialError("upstream-failed", "the policy changed before it was connected");

/** The pool of one policy; a reload makes a new one. */
export class UpstreamPool {
  isRetired = false;
  readonly sweeper = new Sweeper();
  readonly #endpoints = new Map<string, Endpoint>();
  #total = 0;

  /** Whether a request to this endpoint would find an open connection. */
  hasRoom(key: string, wantsHttp2: boolean): boolean {
    return this.#endpoints.get(key)?.hasRoom(wantsHttp2) === true;
  }

  /** An open connection with room for a request. */
  take(key: string, wantsHttp2: boolean): UpstreamLink | undefined {
    return this.#endpoints.get(key)?.take(wantsHttp2);
  }

  /** Opens a connection, or waits until one may be opened or is free. Throws DialError. */
  async open(key: string, options: OpenOptions): Promise<UpstreamLink> {
    if (this.isRetired) throw retired();
    const endpoint = this.#endpointOf(key);
    const shared = endpoint.shared(options);
    if (shared === undefined) return this.#openOne(endpoint, options);
    await shared;
    // It turned out to carry many requests, or it belongs to who opened it.
    return endpoint.take(options.offersHttp2) ?? this.open(key, options);
  }

  /** Takes back what was taken or opened and not used. */
  giveBack(key: string, link: UpstreamLink): void {
    if (this.isRetired) this.closeIdle(key);
    this.#endpoints.get(key)?.giveBack(link);
  }

  /** Closes idle connections to an endpoint: one of them was found dead. */
  closeIdle(key: string): void {
    this.#endpoints.get(key)?.closeIdle();
  }

  /** Closes what is idle, now and from now on; what is in use ends with its exchange, and nothing more is opened. */
  retire(): void {
    this.isRetired = true;
    for (const endpoint of this.#endpoints.values()) {
      for (const { reject } of endpoint.waiting.splice(0)) reject(retired());
      endpoint.closeIdle();
    }
  }

  /** A connection was closed. */
  onClosed(): void {
    this.#total -= 1;
    for (const [key, endpoint] of this.#endpoints) {
      const waiter = this.#mayOpen(endpoint) ? endpoint.waiting.shift() : undefined;
      if (waiter !== undefined) {
        this.#connect(endpoint, waiter.options).then(waiter.resolve, waiter.reject);
        return;
      }
      if (endpoint.isUnused) this.#endpoints.delete(key);
    }
  }

  #openOne(endpoint: Endpoint, options: OpenOptions): Promise<UpstreamLink> {
    if (this.#mayOpen(endpoint)) return this.#connect(endpoint, options);
    return new Promise((resolve, reject) => {
      endpoint.waiting.push({ options, resolve, reject });
    });
  }

  #endpointOf(key: string): Endpoint {
    const known = this.#endpoints.get(key);
    if (known !== undefined) return known;
    const endpoint = new Endpoint(this);
    this.#endpoints.set(key, endpoint);
    return endpoint;
  }

  #mayOpen(endpoint: Endpoint): boolean {
    if (endpoint.count >= MAX_SOCKETS_PER_AUTHORITY) return false;
    if (this.#total >= MAX_SOCKETS) this.#closeOneIdle();
    return this.#total < MAX_SOCKETS;
  }

  /** Other endpoints' idle connections are in the way of what is wanted now. */
  #closeOneIdle(): void {
    for (const endpoint of this.#endpoints.values()) if (endpoint.closeOldest()) return;
  }

  async #connect(endpoint: Endpoint, options: OpenOptions): Promise<UpstreamLink> {
    this.#total += 1;
    try {
      return await endpoint.connect(options);
    } catch (error) {
      this.onClosed();
      throw error;
    }
  }
}
