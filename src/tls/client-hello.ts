/**
 * Reads the first message of a TLS client before any TLS library does: which name it asks for decides whether the
 * connection is served at all. Bounded and strict; what is odd is not TLS to us.
 */

/** What the first bytes of a connection say. */
export type ClientHello =
  | { readonly kind: "need-more" }
  | {
      readonly kind: "hello";
      /** As sent; undefined where the client names no host. */
      readonly serverName: string | undefined;
      readonly alpn: readonly string[];
      /** Whether an encrypted or GREASE ECH extension is there. */
      readonly hasEch: boolean;
    }
  | { readonly kind: "not-tls" };

/** Longest hello that is waited for: post-quantum shares and ECH together stay below 4 KiB. */
export const MAX_CLIENT_HELLO_BYTES = 16_384;

const NEED_MORE: ClientHello = { kind: "need-more" };
const NOT_TLS: ClientHello = { kind: "not-tls" };

const RECORD_HEADER = 5;
const MESSAGE_HEADER = 4;
const EXTENSION = { serverName: 0, alpn: 16, ech: 0xfe0d } as const;

/** Walks bytes; a read past the end makes `isBroken` true and gives nothing. */
class Reader {
  readonly #bytes: Buffer;
  #at = 0;
  isBroken = false;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  take(length: number): Buffer {
    const end = this.#at + length;
    if (end > this.#bytes.length) {
      this.isBroken = true;
      this.#at = this.#bytes.length;
      return Buffer.alloc(0);
    }
    const taken = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return taken;
  }

  number(size: 1 | 2): number {
    const bytes = this.take(size);
    return bytes.length === size ? bytes.readUIntBE(0, size) : 0;
  }

  /** Bytes behind a length of one or two bytes. */
  vector(size: 1 | 2): Buffer {
    return this.take(this.number(size));
  }
}

/** Looks at all bytes of a connection received so far. */
export function parseClientHello(buffer: Buffer): ClientHello {
  const message = collectMessage(buffer);
  return Buffer.isBuffer(message) ? parseMessage(message) : message;
}

/** Joins the handshake bytes of the first records until the first message is whole. */
function collectMessage(buffer: Buffer): Buffer | ClientHello {
  let message: Buffer = Buffer.alloc(0);
  let at = 0;
  while (at < buffer.length) {
    const header = buffer.subarray(at, at + RECORD_HEADER);
    if (!startsRecord(header)) return NOT_TLS;
    if (header.length < RECORD_HEADER) return NEED_MORE;
    const length = header.readUInt16BE(3);
    if (length === 0 || length > MAX_CLIENT_HELLO_BYTES) return NOT_TLS;
    at += RECORD_HEADER;
    message = Buffer.concat([message, buffer.subarray(at, at + length)]);
    at += length;
    const size = messageSize(message);
    if (size === undefined) return NOT_TLS;
    if (message.length >= size) return message.subarray(0, size);
    if (message.length > MAX_CLIENT_HELLO_BYTES) return NOT_TLS;
  }
  return NEED_MORE;
}

/** Handshake record of version 3.0 to 3.4, as far as its bytes are there. */
function startsRecord(header: Buffer): boolean {
  const [type = 22, major = 3, minor = 0] = header;
  return type === 22 && major === 3 && minor <= 4;
}

/** Size of the first message with its header; infinite while unknown, undefined when it is no client hello. */
function messageSize(message: Buffer): number | undefined {
  if (message.length > 0 && message[0] !== 1) return undefined;
  if (message.length < MESSAGE_HEADER) return Number.POSITIVE_INFINITY;
  const size = MESSAGE_HEADER + message.readUIntBE(1, 3);
  return size > MAX_CLIENT_HELLO_BYTES ? undefined : size;
}

function parseMessage(message: Buffer): ClientHello {
  const reader = new Reader(message.subarray(MESSAGE_HEADER));
  const major = reader.number(1);
  reader.take(1 + 32);
  const session = reader.vector(1);
  const ciphers = reader.vector(2);
  const compressions = reader.vector(1);
  const areListsWrong = ciphers.length < 2 || ciphers.length % 2 === 1 || compressions.length < 1;
  if (reader.isBroken || major !== 3 || session.length > 32 || areListsWrong) return NOT_TLS;
  if (reader.isAtEnd) return { kind: "hello", serverName: undefined, alpn: [], hasEch: false };
  const extensions = readExtensions(reader.vector(2));
  if (extensions === undefined || reader.isBroken || !reader.isAtEnd) return NOT_TLS;
  return describeExtensions(extensions);
}

/** Extensions by type; undefined when they are malformed or one comes twice. */
function readExtensions(bytes: Buffer): ReadonlyMap<number, Buffer> | undefined {
  const reader = new Reader(bytes);
  const found = new Map<number, Buffer>();
  while (!reader.isAtEnd) {
    const type = reader.number(2);
    const body = reader.vector(2);
    if (reader.isBroken || found.has(type)) return undefined;
    found.set(type, body);
  }
  return found;
}

function describeExtensions(extensions: ReadonlyMap<number, Buffer>): ClientHello {
  const nameBody = extensions.get(EXTENSION.serverName);
  const alpnBody = extensions.get(EXTENSION.alpn);
  const serverName = nameBody === undefined ? undefined : readServerName(nameBody);
  const alpn = alpnBody === undefined ? [] : readAlpn(alpnBody);
  if (alpn === undefined || (nameBody !== undefined && serverName === undefined)) return NOT_TLS;
  return { kind: "hello", serverName, alpn, hasEch: extensions.has(EXTENSION.ech) };
}

/** The one host name of the list (RFC 6066: one per type, and only one type exists). */
function readServerName(body: Buffer): string | undefined {
  const outer = new Reader(body);
  const list = new Reader(outer.vector(2));
  const type = list.number(1);
  const name = list.vector(2);
  if (outer.isBroken || !outer.isAtEnd || list.isBroken || !list.isAtEnd) return undefined;
  const text = name.toString("latin1");
  return type === 0 && /^[\x21-\x7e]{1,255}$/.test(text) ? text : undefined;
}

function readAlpn(body: Buffer): readonly string[] | undefined {
  const outer = new Reader(body);
  const list = new Reader(outer.vector(2));
  const names: string[] = [];
  while (!list.isAtEnd) names.push(list.vector(1).toString("latin1"));
  const isBroken = outer.isBroken || !outer.isAtEnd || list.isBroken;
  return isBroken || names.length === 0 || names.includes("") ? undefined : names;
}
