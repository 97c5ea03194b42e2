/** What both sides of HTTP/2 have in common: the platform's module, limits, and how a message is broken off. */
import type { Http2Stream } from "node:http2";

/** Node's http2 module, loaded on first use: most bottles never speak HTTP/2, and it costs time and memory. */
export function http2(): typeof import("node:http2") {
  return process.getBuiltinModule("node:http2");
}

/**
 * Resets a stream whose message must not pass for whole. The library would end the message first, and where nothing of it
 * waits to be sent the other side would see that end before the reset.
 */
export function breakOff(stream: Http2Stream, code: number): void {
  if (stream.destroyed) return;
  stream.end = () => stream;
  stream.close(code);
}

/** Streams of one session at a time, each way. */
export const MAX_STREAMS = 100;
/** Largest header block of a stream; as over HTTP/1.1. */
export const MAX_HEADER_LIST_BYTES: number = 64 * 1024;
/** Sessions of all guest connections together: what a guest opens beyond them speaks HTTP/1.1. */
export const MAX_GUEST_SESSIONS = 64;
/** Streams of all guest sessions together. */
export const MAX_GUEST_STREAMS = 512;
/** Bytes of a stream that a guest may send ahead of us; over a socket of the same machine more gains nothing. */
const GUEST_WINDOW_BYTES: number = 64 * 1024;
/** Bytes of a stream that an upstream may: one far away needs more to be quick. */
const UPSTREAM_WINDOW_BYTES: number = 256 * 1024;

/** Limits of every session: what nobody needs is off, and floods end the session. */
const LIMITS = {
  maxHeaderListPairs: 256,
  maxOutstandingPings: 4,
  maxSettings: 16,
  maxSessionInvalidFrames: 100,
  streamResetBurst: 200,
  streamResetRate: 20,
  strictFieldWhitespaceValidation: true,
  unknownProtocolTimeout: 1000,
} as const;

/** Settings that both kinds of session announce. Extended CONNECT stays off. */
const SETTINGS = {
  enablePush: false,
  enableConnectProtocol: false,
  maxHeaderListSize: MAX_HEADER_LIST_BYTES,
} as const;

/** What a session with a guest is opened with. */
export const GUEST_SESSION = {
  ...LIMITS,
  maxSessionMemory: 8,
  maxSessionRejectedStreams: 100,
  settings: {
    ...SETTINGS,
    initialWindowSize: GUEST_WINDOW_BYTES,
    maxConcurrentStreams: MAX_STREAMS,
  },
} as const;

/** What a session with an upstream is opened with. */
export const UPSTREAM_SESSION = {
  ...LIMITS,
  maxSessionMemory: 16,
  settings: { ...SETTINGS, initialWindowSize: UPSTREAM_WINDOW_BYTES },
} as const;
