/**
 * The owner's end of the connection to guest-init: everything of a Guest that is the same on every backend. All that comes back
 * is hostile input: what breaks the protocol ends the connection, and with it (the lease) the guest.
 */
import { withDeadline } from "../../base/deadline.ts";
import { type BottleError, LaunchError, messageOf, ProtocolError } from "../../base/errors.ts";
import type { GuestPath } from "../../base/ids.ts";
import { type Logger, silentLogger } from "../../base/log.ts";
import { settlesWithin } from "../../process/terminate.ts";
import {
  GUEST_PROTOCOL_VERSION,
  type GuestOrder,
  type GuestReport,
  guestReportSchema,
} from "../../protocol/guest.ts";
import { type Mux, type MuxStream, openMux } from "../../protocol/mux.ts";
import type { Guest, ProbeTarget, Session, SessionOptions } from "../contract.ts";
import { copyIn, copyOut, probe } from "./guest-calls.ts";
import { printable } from "./guest-failure.ts";
import { startSession } from "./guest-session.ts";

/** Time for guest-init to open its relays: it listens on a few ports and nothing else. */
const DEFAULT_READY_MS = 10_000;
/** Time for a shutdown: guest-init gives its sessions 2 s, then its last reports leave. */
export const DEFAULT_SHUTDOWN_MS = 5_000;

export interface GuestLinkOptions {
  /** What every session's environment starts from. */
  readonly env: Readonly<Record<string, string>>;
  /** Listeners in the guest: 127.0.0.1:`port` to `socket`, a path as the guest sees it or `tcp:ADDRESS:PORT`. */
  readonly relays: readonly { readonly port: number; readonly socket: string }[];
  readonly home: GuestPath;
  readonly readyTimeoutMs?: number;
  readonly signal?: AbortSignal | undefined;
  readonly log?: Logger;
}

/** A guest that answers. Its owner ends the guest itself when `closed` settles. */
export interface GuestLink extends Pick<Guest, "session" | "copyIn" | "copyOut" | "probe"> {
  /** Version of the Node that guest-init runs on, as the guest says. */
  readonly node: string;
  /** Settles when the connection is gone, with the reason when there is one; never rejects. */
  readonly closed: Promise<BottleError | undefined>;
  /** Asks guest-init to end its sessions and itself, and ends the connection at the latest after `timeoutMs`. */
  shutdown(timeoutMs?: number): Promise<void>;
  /** Ends the connection at once: guest-init kills all its sessions. */
  destroy(): void;
}

/** Greets guest-init and waits until it holds the relays. Throws LaunchError `launch.guest-init`; the connection is gone then. */
export async function openGuestLink(
  stream: MuxStream,
  options: GuestLinkOptions,
): Promise<GuestLink> {
  const link = new Link(stream, options.log ?? silentLogger);
  try {
    link.node = await withDeadline(link.greet(options), {
      what: "guest-init to open its relays",
      timeoutMs: options.readyTimeoutMs ?? DEFAULT_READY_MS,
      signal: options.signal,
    });
    return link;
  } catch (error) {
    link.destroy();
    if (options.signal?.aborted === true) throw error;
    throw new LaunchError(
      "launch.guest-init",
      `the guest's first process did not answer: ${messageOf(error)}`,
      { cause: error },
    );
  }
}

class Link implements GuestLink {
  node = "";
  readonly closed: Promise<BottleError | undefined>;
  readonly #mux: Mux<GuestReport, GuestOrder>;
  readonly #ready = Promise.withResolvers<string>();
  #reason: BottleError | undefined;
  #isReady = false;

  constructor(stream: MuxStream, log: Logger) {
    this.#mux = openMux<GuestReport, GuestOrder>(stream, {
      decode: (value) => guestReportSchema().safeParse(value).data,
      onMessage: (report) => this.#report(report),
    });
    this.closed = this.#mux.closed.then((fault) => {
      const reason = this.#reason ?? fault;
      if (reason !== undefined)
        log.warn("the guest's connection ended", { reason: reason.message, code: reason.code });
      this.#ready.reject(reason ?? new LaunchError("launch.guest-init", "it ended its connection"));
      return reason;
    });
  }

  greet(options: GuestLinkOptions): Promise<string> {
    const { env, relays, home } = options;
    this.#mux.send({
      kind: "hello",
      version: GUEST_PROTOCOL_VERSION,
      relays: [...relays],
      env,
      home,
    });
    return this.#ready.promise;
  }

  session(options: SessionOptions): Promise<Session> {
    return startSession(this.#mux, options);
  }

  copyIn(...args: Parameters<Guest["copyIn"]>): Promise<number> {
    const [root, items] = args;
    return copyIn(this.#mux, root, items);
  }

  copyOut(root: GuestPath): ReturnType<Guest["copyOut"]> {
    return copyOut(this.#mux, root, (fault) => this.#end(fault));
  }

  probe(target: ProbeTarget): Promise<string> {
    return probe(this.#mux, target);
  }

  async shutdown(timeoutMs: number = DEFAULT_SHUTDOWN_MS): Promise<void> {
    this.#mux.send({ kind: "shutdown" });
    if (await settlesWithin(this.closed, timeoutMs)) return;
    this.destroy();
    await this.closed;
  }

  destroy(): void {
    this.#mux.destroy();
  }

  /** Life of the guest: one `ready`, or a `fault` at any time. */
  #report(report: GuestReport): void {
    if (report.kind === "ready" && !this.#isReady) {
      this.#isReady = true;
      this.#ready.resolve(report.node);
    } else if (report.kind === "fault") {
      this.#end(
        new LaunchError("launch.guest-init", `guest-init failed: ${printable(report.message)}`),
      );
    } else {
      throw new ProtocolError(
        "protocol.message",
        `the guest sent "${report.kind}", which nothing asked for`,
      );
    }
  }

  #end(reason: BottleError): void {
    this.#reason ??= reason;
    this.#mux.destroy();
  }
}
