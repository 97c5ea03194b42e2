/**
 * Connections to upstreams, kept alive and reused per scheme and authority. Invariant: a connection is only ever used for
 * the authority that it was opened and verified for.
 */
import type { AgentOptions, ClientRequestArgs } from "node:http";
import { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { messageOf } from "../../base/errors.ts";
import { type Authority, formatAuthority, type Scheme } from "../../policy/authority.ts";
import { DialError, type DialOptions, dial } from "./dial.ts";
import { http } from "./node-http.ts";

/** Connections to one authority at a time: more than any package manager opens. */
export const MAX_SOCKETS_PER_AUTHORITY = 64;
/** Connections of one bottle in all. */
export const MAX_SOCKETS = 256;
/** Idle connections that are kept per authority: all of a burst, because opening one costs ten times a request. */
const MAX_IDLE_PER_AUTHORITY = MAX_SOCKETS_PER_AUTHORITY;
/** Time an idle connection is kept: below the 60 s of common load balancers. */
const IDLE_TIMEOUT_MS = 30_000;

const OPTIONS: AgentOptions = {
  keepAlive: true,
  maxSockets: MAX_SOCKETS_PER_AUTHORITY,
  maxTotalSockets: MAX_SOCKETS,
  maxFreeSockets: MAX_IDLE_PER_AUTHORITY,
  timeout: IDLE_TIMEOUT_MS,
  scheduling: "lifo",
};

/** What a request needs to go through the pool. */
export interface UpstreamArgs extends ClientRequestArgs {
  readonly poolKey: string;
  /** Undefined when an idle connection is expected; if it is gone by then, the request fails and is tried again. */
  readonly dialOptions: DialOptions | undefined;
}

type OnSocket = (error: Error | null, stream: Duplex) => void;

/** Name of an endpoint in the pool. */
export function poolKeyOf(scheme: Scheme, authority: Authority): string {
  return `${scheme}://${formatAuthority(authority)}`;
}

/** The pool of one policy; a reload makes a new one. */
export class UpstreamPool extends http.Agent {
  constructor() {
    super(OPTIONS);
  }

  /** Whether a request to this endpoint would find an open connection. */
  hasIdle(poolKey: string): boolean {
    return this.freeSockets[poolKey]?.some((socket) => !socket.destroyed) === true;
  }

  /** Closes idle connections; those in use end with their requests. */
  closeIdle(): void {
    for (const sockets of Object.values(this.freeSockets)) {
      for (const socket of sockets ?? []) socket.destroy();
    }
  }

  override getName(options?: Partial<UpstreamArgs>): string {
    return options?.poolKey ?? "";
  }

  override createConnection(options: Partial<UpstreamArgs>, onSocket?: OnSocket): undefined {
    open(options.dialOptions).then(
      (socket) => onSocket?.(null, socket),
      // Node's type asks for a stream even beside an error; it is not looked at.
      (error: unknown) => onSocket?.(toError(error), closedStream()),
    );
  }
}

function toError(error: unknown): Error {
  return error instanceof Error ? error : new Error(messageOf(error));
}

function closedStream(): Duplex {
  return new Socket().destroy();
}

async function open(options: DialOptions | undefined): Promise<Duplex> {
  if (options === undefined) throw new DialError("upstream-failed", "the idle connection is gone");
  return dial(options);
}
