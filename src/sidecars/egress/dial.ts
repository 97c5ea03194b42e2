/**
 * Opens one connection to an upstream: the addresses given and no other, TLS verified for the name, or through the
 * operator's CONNECT proxy. Every step is bounded in time.
 */
import { connect as connectTcp, type Socket } from "node:net";
import type { SecureContext, TLSSocket } from "node:tls";
import { messageOf, systemCode } from "../../base/errors.ts";
import { type Authority, formatAuthority, type Scheme } from "../../policy/authority.ts";
import type { ReasonCode } from "../../policy/verdict.ts";
import type { Place } from "./locate.ts";
import type { ProxyAddress } from "./proxy-address.ts";
import { loadTls } from "./trust.ts";

/** Time for one TCP connection, and for one TLS handshake or answer of a proxy. */
export const CONNECT_TIMEOUT_MS = 10_000;
/** Longest answer of a proxy to CONNECT. */
const MAX_PROXY_HEAD_BYTES = 16_384;

/** Why an upstream was not reached; the reason goes into the refusal and the audit log. */
export class DialError extends Error {
  readonly reason: ReasonCode;

  constructor(reason: ReasonCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.reason = reason;
  }
}

export interface DialOptions {
  readonly authority: Authority;
  readonly scheme: Scheme;
  readonly place: Place;
  readonly proxy: ProxyAddress | undefined;
  /** Roots that an upstream is verified against; asked for only where TLS is spoken. */
  readonly trust: () => SecureContext;
  /** Whether HTTP/2 is offered; HTTP/1.1 always is. */
  readonly offersHttp2: boolean;
  /** Resumes what was verified before for the same authority, and keeps what comes of it. */
  readonly sessions: TlsSessions;
}

/** TLS sessions of one authority, under one set of roots. */
export interface TlsSessions {
  last: Buffer | undefined;
}

/** Connects. Throws DialError. */
export async function dial(options: DialOptions): Promise<Socket> {
  const socket = await openTcp(options);
  if (options.scheme === "http") return socket;
  try {
    return await startTls(socket, options);
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

async function openTcp(options: DialOptions): Promise<Socket> {
  const { place, proxy, authority } = options;
  if (proxy === undefined || place.isPinned) return connectAny(place);
  const socket = await connectOne(proxy.host, proxy.port);
  try {
    await askProxy(socket, formatAuthority(authority));
    return socket;
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

/** Tries the addresses in the order that the resolver gave. */
async function connectAny(place: Place): Promise<Socket> {
  const failures: string[] = [];
  for (const address of place.addresses) {
    try {
      return await connectOne(address, place.port);
    } catch (error) {
      failures.push(messageOf(error));
    }
  }
  throw new DialError("upstream-failed", failures.join("; ") || "no address to connect to");
}

function connectOne(host: string, port: number): Promise<Socket> {
  const socket = connectTcp({ host, port, noDelay: true, autoSelectFamily: false });
  return settled(socket, "connect", "connection");
}

async function startTls(socket: Socket, options: DialOptions): Promise<TLSSocket> {
  const secure = loadTls().connect({
    socket,
    servername: options.authority.host,
    secureContext: options.trust(),
    ALPNProtocols: options.offersHttp2 ? ["h2", "http/1.1"] : ["http/1.1"],
    rejectUnauthorized: true,
    session: options.sessions.last,
  });
  secure.on("session", (session: Buffer) => {
    options.sessions.last = session;
  });
  try {
    return await settled(secure, "secureConnect", "TLS handshake");
  } catch (error) {
    options.sessions.last = undefined;
    throw error;
  }
}

/** Waits for one event of a socket, which is destroyed on failure. */
function settled<S extends Socket>(socket: S, event: string, what: string): Promise<S> {
  return new Promise((resolve, reject) => {
    const finish = (error: DialError | undefined): void => {
      clearTimeout(timer);
      socket.off(event, onDone);
      socket.off("error", onError);
      socket.off("close", onClose);
      if (error === undefined) {
        resolve(socket);
        return;
      }
      // A late error of a socket that nobody waits for any more.
      socket.on("error", () => undefined);
      socket.destroy();
      reject(error);
    };
    const onDone = (): void => finish(undefined);
    const onError = (error: Error): void => finish(describeFailure(socket, what, error));
    const onClose = (): void => finish(new DialError("upstream-failed", `${what}: closed`));
    const timer = setTimeout(
      () =>
        finish(new DialError("upstream-failed", `${what}: no answer in ${CONNECT_TIMEOUT_MS} ms`)),
      CONNECT_TIMEOUT_MS,
    );
    socket.once(event, onDone);
    socket.once("error", onError);
    socket.once("close", onClose);
  });
}

function describeFailure(socket: Socket, what: string, error: Error): DialError {
  const code = systemCode(error) ?? "failed";
  // Node sets this only when the certificate, not the connection, was at fault.
  const isUntrusted = "authorizationError" in socket && Boolean(socket.authorizationError);
  return isUntrusted
    ? new DialError("upstream-untrusted", `certificate refused: ${code}`, error)
    : new DialError("upstream-failed", `${what}: ${code}`, error);
}

/** Asks a proxy for a tunnel; the target is built from the canonical authority only. */
async function askProxy(socket: Socket, target: string): Promise<void> {
  socket.write(`CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n\r\n`);
  const head = await readHead(socket);
  const status = /^HTTP\/1\.[01] (\d{3})(?: |\r\n)/.exec(head)?.[1];
  if (status?.startsWith("2") !== true) {
    throw new DialError(
      "upstream-failed",
      `upstream proxy answered ${status ?? "something else than HTTP"}`,
    );
  }
}

function readHead(socket: Socket): Promise<string> {
  return new Promise((resolve, reject) => {
    let bytes = Buffer.alloc(0);
    const finish = (error: DialError | undefined, head = ""): void => {
      clearTimeout(timer);
      socket.removeAllListeners("data").removeAllListeners("error").removeAllListeners("close");
      socket.pause();
      if (error === undefined) resolve(head);
      else reject(error);
    };
    const fail = (why: string): void =>
      finish(new DialError("upstream-failed", `upstream proxy ${why}`));
    const timer = setTimeout(() => fail("did not answer"), CONNECT_TIMEOUT_MS);
    socket.on("error", (error) => fail(systemCode(error) ?? "failed"));
    socket.on("close", () => fail("closed the connection"));
    socket.on("data", (chunk: Buffer) => {
      bytes = Buffer.concat([bytes, chunk]);
      const end = bytes.indexOf("\r\n\r\n");
      if (end === -1 && bytes.length <= MAX_PROXY_HEAD_BYTES) return;
      // Nothing may follow: the upstream speaks only after us.
      if (end === -1 || end + 4 !== bytes.length) fail("sent more than an answer");
      else finish(undefined, bytes.toString("latin1"));
    });
  });
}
