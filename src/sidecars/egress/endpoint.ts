/** All connections to one endpoint: those of HTTP/1.1 that are idle or in use, and the sessions of HTTP/2. */
import { DialError, type DialOptions, dial, type TlsSessions } from "./dial.ts";
import { type LinkOwner, UpstreamConnection } from "./http1/upstream-connection.ts";
import { UpstreamSession } from "./http2/upstream-session.ts";
import type { UpstreamLink } from "./message.ts";
import type { Sweeper } from "./sweeper.ts";

/** Connections to one authority at a time: more than any package manager opens. */
export const MAX_SOCKETS_PER_AUTHORITY = 64;

/** What a connection is opened with; the endpoint itself keeps its TLS sessions. */
export type OpenOptions = Omit<DialOptions, "sessions">;

/** Somebody who waits for a connection. */
export interface Waiter {
  readonly options: OpenOptions;
  readonly resolve: (link: UpstreamLink) => void;
  readonly reject: (error: unknown) => void;
}

/** What an endpoint needs of its pool. */
export interface EndpointPool {
  readonly isRetired: boolean;
  readonly sweeper: Sweeper;
  /** A connection was closed. */
  onClosed(): void;
}

/** Connections of one endpoint. */
export class Endpoint implements LinkOwner {
  readonly waiting: Waiter[] = [];
  /** Those open, and those that are being opened. */
  count = 0;
  readonly #pool: EndpointPool;
  readonly #idle: UpstreamConnection[] = [];
  readonly #sessions = new Set<UpstreamSession>();
  readonly #tls: TlsSessions = { last: undefined };
  /** What was agreed on when HTTP/2 was last offered. */
  #speaksHttp2: boolean | undefined;
  /** A connection being opened that others may share. */
  #opening: Promise<UpstreamLink> | undefined;

  constructor(pool: EndpointPool) {
    this.#pool = pool;
  }

  get isUnused(): boolean {
    return this.count === 0 && this.waiting.length === 0;
  }

  hasRoom(wantsHttp2: boolean): boolean {
    if (wantsHttp2 && this.#speaksHttp2 !== false) return this.#session() !== undefined;
    return this.#idle.some((it) => it.isUsable);
  }

  /** The connection used last, because it is the least likely to be gone. */
  take(wantsHttp2: boolean): UpstreamLink | undefined {
    if (wantsHttp2 && this.#speaksHttp2 !== false) return this.#session();
    for (let last = this.#idle.pop(); last !== undefined; last = this.#idle.pop()) {
      if (last.isUsable) return last;
    }
    return undefined;
  }

  /** A connection that is being opened and may turn out to carry many streams. */
  shared({ offersHttp2 }: OpenOptions): Promise<UpstreamLink> | undefined {
    return offersHttp2 && this.#speaksHttp2 !== false ? this.#opening : undefined;
  }

  /** Connects. Throws DialError. */
  async connect(options: OpenOptions): Promise<UpstreamLink> {
    this.count += 1;
    const offersHttp2 = options.offersHttp2 && this.#speaksHttp2 !== false;
    const opening = this.#open({ ...options, offersHttp2 });
    if (offersHttp2) this.#opening = opening;
    try {
      return await opening;
    } catch (error) {
      this.count -= 1;
      throw error;
    } finally {
      if (this.#opening === opening) this.#opening = undefined;
    }
  }

  onFree(connection: UpstreamConnection): void {
    const waiter = this.waiting.shift();
    if (waiter !== undefined) waiter.resolve(connection);
    else if (this.#pool.isRetired) connection.close();
    else this.#idle.push(connection);
  }

  onClosed(connection: UpstreamConnection): void {
    const at = this.#idle.indexOf(connection);
    if (at >= 0) this.#idle.splice(at, 1);
    this.#left();
  }

  /** Takes back what was handed out and not used. */
  giveBack(link: UpstreamLink): void {
    if (link instanceof UpstreamConnection) this.onFree(link);
    else if (link instanceof UpstreamSession && link.hasRoom) this.#onRoom(link);
  }

  closeIdle(): void {
    for (const connection of [...this.#idle]) connection.close();
    for (const session of this.#sessions) session.close();
  }

  /** Closes the idle connection that was used longest ago; false when there is none. */
  closeOldest(): boolean {
    const oldest = this.#idle.shift();
    oldest?.close();
    return oldest !== undefined;
  }

  #left(): void {
    this.count -= 1;
    this.#pool.onClosed();
  }

  #session(): UpstreamSession | undefined {
    for (const session of this.#sessions) if (session.hasRoom) return session;
    return undefined;
  }

  async #open(options: OpenOptions): Promise<UpstreamLink> {
    const socket = await dial({ ...options, sessions: this.#tls });
    if (socket.destroyed) throw new DialError("upstream-failed", "the connection was closed");
    const { sweeper } = this.#pool;
    const speaksHttp2 = "alpnProtocol" in socket && socket.alpnProtocol === "h2";
    if (options.offersHttp2) this.#speaksHttp2 = speaksHttp2;
    if (!speaksHttp2) return new UpstreamConnection(socket, sweeper, this);
    let isHandedOut = false;
    const session = new UpstreamSession(socket, options.authority.host, {
      sweeper,
      onClosed: (closed) => {
        this.#sessions.delete(closed);
        if (isHandedOut) this.#left();
      },
      onRoom: (free) => this.#onRoom(free),
    });
    this.#sessions.add(session);
    await session.ready;
    if (session.isGone) throw new DialError("upstream-failed", "the connection was closed");
    isHandedOut = true;
    return session;
  }

  /** A stream has ended: somebody may wait for one. */
  #onRoom(session: UpstreamSession): void {
    const at = this.waiting.findIndex((it) => it.options.offersHttp2);
    const [waiter] = at < 0 ? [] : this.waiting.splice(at, 1);
    waiter?.resolve(session);
  }
}
