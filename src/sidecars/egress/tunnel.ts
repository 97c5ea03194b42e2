/**
 * CONNECT: authorises the host, reads who the guest really wants to talk to, and ends its TLS here. Invariant: the name in
 * the ClientHello is the one that was authorised, and no certificate exists for any other.
 */
import type { Socket } from "node:net";
import type { SecureContext, TLSSocket } from "node:tls";
import { systemCode } from "../../base/errors.ts";
import {
  type Authority,
  formatAuthority,
  formatHostHeader,
  parseAuthority,
} from "../../policy/authority.ts";
import { decideConnect, deny } from "../../policy/decide.ts";
import { INTROSPECTION_RULE, isIntrospection } from "../../policy/introspect.ts";
import type { Deny } from "../../policy/verdict.ts";
import { type ClientHello, parseClientHello } from "../../tls/client-hello.ts";
import { badAuthority, PROTOCOL_RULE } from "./classify.ts";
import type { Services } from "./context.ts";
import type { Recorder } from "./record.ts";
import { refuseSocket } from "./refusal.ts";
import { scanHost } from "./scan.ts";
import type { Slots } from "./slots.ts";
import type { EgressState } from "./state.ts";
import { loadTls } from "./trust.ts";

/** Time from the answer to CONNECT to the end of the TLS handshake. */
export const HANDSHAKE_TIMEOUT_MS = 10_000;

/** Fatal alert `unrecognized_name` (RFC 8446, 6.2): the client then says what was wrong instead of "connection reset". */
const UNRECOGNIZED_NAME = Buffer.from([21, 3, 3, 0, 2, 2, 112]);

/** One CONNECT that came in. */
export interface TunnelRequest {
  /** `host:port`, as it was asked for. */
  readonly target: string;
  readonly socket: Socket;
  /** Bytes that came right behind the request. */
  readonly head: Buffer;
  readonly state: EgressState;
  /** Places for sessions of HTTP/2; where none is left it is not offered. */
  readonly sessions: Slots;
  /** Takes the decrypted side over; requests on it belong to `authority`. */
  readonly onSecure: (secure: TLSSocket, authority: Authority) => void;
}

/** Judges a CONNECT and opens its tunnel. */
export async function openTunnel(tunnel: TunnelRequest, services: Services): Promise<void> {
  const { socket, target, state } = tunnel;
  socket.on("error", () => socket.destroy());
  const { log } = services;
  const recorder = state.recorder(services);
  const asked = `CONNECT ${target}`;
  const authority = authorizeTunnel(target, state);
  if (authority.kind === "deny") {
    record(recorder, target.replace(/:443$/, ""), authority);
    refuseSocket(socket, authority, asked);
    return;
  }
  const hostName = formatHostHeader(authority, "https");
  const unrecorded = record(recorder, hostName, { ...authority, kind: "allow" });
  if (unrecorded !== undefined) {
    refuseSocket(socket, unrecorded, asked);
    return;
  }
  socket.write("HTTP/1.1 200 Connection Established\r\n\r\n");
  const timer = setTimeout(() => socket.destroy(), HANDSHAKE_TIMEOUT_MS);
  socket.once("close", () => clearTimeout(timer));
  const { hello, bytes } = await readHello(socket, tunnel.head);
  const refused = judgeHello(hello, authority);
  if (refused === undefined) {
    const leaves = await state.leaves();
    const secure = startTls(tunnel, authority, {
      bytes,
      context: leaves.contextFor(authority.host),
    });
    secure.once("secure", () => clearTimeout(timer));
    secure.once("error", (error) => {
      log.debug("the guest's TLS failed", { host: authority.host, code: systemCode(error) });
    });
    return;
  }
  record(recorder, hostName, refused);
  if (bytes[0] === 22) socket.end(UNRECOGNIZED_NAME);
  else refuseSocket(socket, refused, asked);
}

interface AuthorizedTunnel extends Omit<Authority, "kind"> {
  readonly kind: Authority["kind"];
  readonly rule: string;
}

function authorizeTunnel(url: string, state: EgressState): AuthorizedTunnel | Deny {
  const parsed = parseAuthority(url, "https");
  if (!parsed.ok) return badAuthority(parsed);
  const { authority } = parsed;
  if (isIntrospection(authority)) return { ...authority, rule: INTROSPECTION_RULE };
  const { verdict, route } = decideConnect(state.config.policy, authority);
  if (verdict.kind === "deny") return verdict;
  const isScanned = route?.scansOutbound !== false;
  const found = isScanned ? scanHost(authority.host, verdict.rule, state.scanPolicy) : undefined;
  return found ?? { ...authority, rule: verdict.rule };
}

function record(
  recorder: Recorder,
  host: string | undefined,
  decided: { readonly kind: "allow"; readonly rule: string } | Deny,
): Deny | undefined {
  const subject = { kind: "connect", host, method: "CONNECT", path: undefined } as const;
  return recorder.decide({ ...subject, isClean: decided.kind === "allow" }, decided);
}

/** Collects bytes until the hello is whole or can no longer become one. */
function readHello(
  socket: Socket,
  head: Buffer,
): Promise<{ readonly hello: ClientHello; readonly bytes: Buffer }> {
  return new Promise((resolve) => {
    let bytes = head;
    const finish = (hello: ClientHello): void => {
      socket.off("data", onData).off("end", onEnd).off("close", onEnd);
      socket.pause();
      resolve({ hello, bytes });
    };
    const look = (): void => {
      const hello = parseClientHello(bytes);
      if (hello.kind !== "need-more") finish(hello);
    };
    const onData = (chunk: Buffer): void => {
      bytes = Buffer.concat([bytes, chunk]);
      look();
    };
    const onEnd = (): void => finish({ kind: "not-tls" });
    socket.on("data", onData).on("end", onEnd).on("close", onEnd);
    if (bytes.length > 0) look();
    socket.resume();
  });
}

/**
 * An ECH extension is let through on purpose: browsers always send one as camouflage, its outer name is checked like any
 * other, and it cannot hide anything from an endpoint that ends TLS itself and never passes the hello on.
 */
function judgeHello(hello: ClientHello, authority: Authority): Deny | undefined {
  const asked = formatAuthority(authority);
  if (hello.kind !== "hello") {
    return deny(
      "bad-request",
      PROTOCOL_RULE,
      `what follows CONNECT ${asked} is not TLS; use https`,
    );
  }
  if (hello.serverName === undefined) {
    const why = `the TLS client names no server, ${asked} is expected; send server name indication`;
    return deny("authority-mismatch", PROTOCOL_RULE, why);
  }
  const parsed = parseAuthority(hello.serverName, "https");
  if (parsed.ok && parsed.authority.host === authority.host) return undefined;
  const why = `the TLS client names another server than ${asked}; open a tunnel of its own to each host`;
  return deny("authority-mismatch", PROTOCOL_RULE, why);
}

function startTls(
  { socket, sessions, onSecure }: TunnelRequest,
  { host, port, kind }: Authority,
  { bytes, context }: { readonly bytes: Buffer; readonly context: SecureContext },
): TLSSocket {
  socket.unshift(bytes);
  // Whose connection is gone already tells nobody of its end.
  const leave = socket.destroyed ? undefined : sessions.take();
  if (leave !== undefined) socket.once("close", leave);
  const { TLSSocket } = loadTls();
  const secure = new TLSSocket(socket, {
    isServer: true,
    secureContext: context,
    ALPNProtocols: leave === undefined ? ["http/1.1"] : ["h2", "http/1.1"],
  });
  secure.on("error", () => secure.destroy());
  // Without a server of its own nobody else looks at faults behind the handshake.
  secure.on("_tlsError", () => secure.destroy());
  secure.once("secure", () => {
    // Nor does anybody else note that the handshake is over, which HTTP/2 waits for.
    Object.assign(secure, { secureConnecting: false });
    if (secure.alpnProtocol !== "h2") leave?.();
    onSecure(secure, { host, port, kind });
  });
  return secure;
}
