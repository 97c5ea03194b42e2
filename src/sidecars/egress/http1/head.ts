/** Heads of HTTP/1.1 messages. Invariant: of a message that is accepted, every parser reads the same body length. */
import { isMethod } from "../../../policy/methods.ts";
import type { HeaderBlock } from "../header-block.ts";
import { type Framing, NO_BODY, STREAM_BODY } from "../message.ts";
import { isAllOf, SPACE, TARGET, VALUE } from "./bytes.ts";
import { Malformed, parseFields } from "./fields.ts";

/** Largest header block, each way. */
export const MAX_HEAD_BYTES: number = 64 * 1024;

/** Head of a request. */
export interface RequestHead {
  readonly method: string;
  readonly target: string;
  readonly version: "1.0" | "1.1";
  readonly block: HeaderBlock;
  readonly framing: Framing;
}

/** Head of an answer. */
export interface StatusHead {
  readonly version: "1.0" | "1.1";
  readonly status: number;
  readonly reason: string;
  readonly block: HeaderBlock;
}

/** What a connection knows of the request before: most clients repeat their header lines byte by byte. */
export interface HeadMemory {
  lines: string;
  block: HeaderBlock | undefined;
}

/** Parses the head of a request; `text` is Latin-1 and ends with the CRLF of its last line. */
export function parseRequestHead(text: string, memory: HeadMemory): RequestHead | Malformed {
  const end = text.indexOf("\r\n");
  const first = text.indexOf(" ");
  const second = text.indexOf(" ", first + 1);
  if (end < 0 || first <= 0 || second < 0 || second > end) {
    return new Malformed("the request line is not a method, a target and a version");
  }
  const method = text.substring(0, first);
  if (!isMethod(method)) return new Malformed("the method is not one of HTTP");
  if (second === first + 1 || !isAllOf(TARGET, text, first + 1, second)) {
    return new Malformed("the target is empty or holds a byte that no target has");
  }
  const version = readVersion(text, second + 1, end);
  if (version === undefined) return new Malformed("the version is not HTTP/1.1");
  const block = readBlock(text, end + 2, memory);
  if (block instanceof Malformed) return block;
  const framing = requestFraming(block, version);
  if (framing instanceof Malformed) return framing;
  return { method, target: text.substring(first + 1, second), version, block, framing };
}

function readBlock(text: string, start: number, memory: HeadMemory): HeaderBlock | Malformed {
  const lines = text.substring(start);
  if (memory.block !== undefined && memory.lines === lines) return memory.block;
  const block = parseFields(lines, 0);
  if (!(block instanceof Malformed)) {
    memory.lines = lines;
    memory.block = block;
  }
  return block;
}

/** Parses the head of an answer. */
export function parseStatusHead(text: string): StatusHead | Malformed {
  const end = text.indexOf("\r\n");
  const version = readVersion(text, 0, 8);
  if (end < 12 || version === undefined || text.charCodeAt(8) !== SPACE) {
    return new Malformed("the status line is not a version and a status");
  }
  const status = readStatus(text);
  // A missing blank before an empty reason is common and has one meaning.
  if (status === undefined || (end > 12 && text.charCodeAt(12) !== SPACE)) {
    return new Malformed("the status is not a number from 100 to 599");
  }
  if (!isAllOf(VALUE, text, 12, end)) return new Malformed("the reason holds a control byte");
  const block = parseFields(text, end + 2);
  if (block instanceof Malformed) return block;
  return { version, status, reason: end > 13 ? text.substring(13, end) : "", block };
}

function readStatus(text: string): number | undefined {
  let status = 0;
  for (let at = 9; at < 12; at += 1) {
    const digit = text.charCodeAt(at) - 0x30;
    if (digit < 0 || digit > 9) return undefined;
    status = status * 10 + digit;
  }
  return status >= 100 && status <= 599 ? status : undefined;
}

function readVersion(text: string, start: number, end: number): "1.0" | "1.1" | undefined {
  if (end - start !== 8) return undefined;
  if (text.startsWith("HTTP/1.1", start)) return "1.1";
  return text.startsWith("HTTP/1.0", start) ? "1.0" : undefined;
}

function requestFraming(block: HeaderBlock, version: "1.0" | "1.1"): Framing | Malformed {
  return readFraming(block, version) ?? NO_BODY;
}

/** How long the body of an answer is; `undefined` where only the end of the connection tells. */
export function answerFraming(head: StatusHead, method: string): Framing | undefined | Malformed {
  const framing = readFraming(head.block, head.version);
  if (framing instanceof Malformed) return framing;
  const { status } = head;
  if (method === "HEAD" || status === 304) return framing ?? NO_BODY;
  return status === 204 || status < 200 ? NO_BODY : framing;
}

/** Two answers to the question how long a body is are smuggling, and one odd answer is as bad. */
function readFraming(block: HeaderBlock, version: "1.0" | "1.1"): Framing | Malformed | undefined {
  const lengths = block.values("content-length");
  const encodings = block.values("transfer-encoding");
  if (lengths.length === 0 && encodings.length === 0) return undefined;
  if (lengths.length + encodings.length > 1) {
    return new Malformed("the length of the body is given twice");
  }
  const [length] = lengths;
  if (length !== undefined) return readLength(length);
  const isChunked = encodings[0]?.toLowerCase() === "chunked" && version === "1.1";
  if (isChunked) return STREAM_BODY;
  return new Malformed("the transfer encoding is not chunked");
}

/** Longest length: beyond it numbers are no longer exact. */
const MAX_LENGTH_DIGITS = 15;

function readLength(text: string): Framing | Malformed {
  let length = 0;
  if (text === "" || text.length > MAX_LENGTH_DIGITS) return badLength;
  for (let at = 0; at < text.length; at += 1) {
    const digit = text.charCodeAt(at) - 0x30;
    if (digit < 0 || digit > 9) return badLength;
    length = length * 10 + digit;
  }
  return { kind: "length", length };
}

const badLength: Malformed = new Malformed("the content length is not a plain number");

/** Whether a connection can be used again after a message with this head. */
export function staysOpen(head: { version: "1.0" | "1.1"; block: HeaderBlock }): boolean {
  if (head.version === "1.0") return false;
  return !head.block.has("connection") || !head.block.tokens("connection").includes("close");
}
