/**
 * The audit file of one bottle: appends whole lines synchronously and chains each to the one before it by SHA-256.
 * Invariant: `seq` is the line's number in the file counted from 0, and nothing that was written is ever removed. What a
 * crash left of a line stays where it is, is part of the chain, and is followed by a line with the reason `torn-line`.
 */
import {
  closeSync,
  constants,
  fdatasyncSync,
  fstatSync,
  openSync,
  readSync,
  writeSync,
} from "node:fs";
import { type Clock, isoTime } from "../base/clock.ts";
import { ProtocolError, systemCode } from "../base/errors.ts";
import { parseJson } from "../base/json.ts";
import { AUDIT_SCHEMA_VERSION, type AuditEvent, type AuditLine, auditLineSchema } from "./audit.ts";

/** `prev` of the first line. */
export const GENESIS_HASH: string = "0".repeat(64);
/** Longest line that is read back; a written one is far shorter, because every field is bounded. */
export const MAX_AUDIT_LINE_BYTES: number = 64 * 1024;
/** Reason of the line that follows what a crash or a full disk left of another. */
export const TORN_LINE_REASON = "torn-line";

/** End of the chain: number and hash of the last line; -1 and zeros while the log is empty. */
export interface AuditHead {
  readonly seq: number;
  readonly hash: string;
}

/** An open audit file. */
export interface AuditLog {
  /** Writes one line; returns after the system took it. Throws when it did not take all of it. */
  append(event: AuditEvent): AuditLine;
  head(): AuditHead;
  close(): void;
}

export interface AuditLogOptions {
  /** Slug that goes into every line. */
  readonly bottle: string;
  readonly clock: Clock;
}

/** Longest value per field, as the schema has it. */
const LIMITS = [
  ["host", 300],
  ["method", 32],
  ["path", 2048],
  ["rule", 300],
  ["reason", 100],
  ["detail", 1000],
] as const;
const NEWLINE = 0x0a;
const READ_BYTES = 64 * 1024;

/** Opens or creates the log and finds the end of its chain. Throws the system's error, or ProtocolError. */
export function openAuditLog(path: string, options: AuditLogOptions): AuditLog {
  const { O_RDWR, O_APPEND, O_CREAT, O_NOFOLLOW } = constants;
  const fd = openSync(path, O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW, 0o600);
  try {
    if (!fstatSync(fd).isFile()) {
      throw new ProtocolError("protocol.audit", "the audit log is not a regular file");
    }
    return new OpenLog(fd, options);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** SHA-256 of a line's bytes without its newline, in hex. */
export function hashLine(line: Uint8Array): string {
  // Loaded on first use: the bundle opens its log before it is ready and hashes only afterwards.
  return process.getBuiltinModule("node:crypto").createHash("sha256").update(line).digest("hex");
}

/** Parses one line; undefined when it does not follow the schema. */
export function parseAuditLine(line: Buffer): AuditLine | undefined {
  try {
    const result = auditLineSchema().safeParse(parseJson(line.toString("utf8")));
    return result.success ? result.data : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

class OpenLog implements AuditLog {
  readonly #fd: number;
  readonly #options: AuditLogOptions;
  #tail: Tail;
  #isClosed = false;

  constructor(fd: number, options: AuditLogOptions) {
    this.#fd = fd;
    this.#options = options;
    this.#tail = readTail(fd);
  }

  append(event: AuditEvent): AuditLine {
    if (this.#isClosed) throw new ProtocolError("protocol.audit", "the audit log is closed");
    this.#catchUp();
    const { torn, last, lastWhole } = this.#tail;
    if (torn !== "none") {
      const detail = `${last?.length ?? 0} bytes of an unfinished line precede this one`;
      const rule = tornRule(lastWhole);
      this.#write(
        { kind: "bundle", reason: TORN_LINE_REASON, rule, detail },
        torn === "open" ? "\n" : "",
      );
    }
    return this.#write(event, "");
  }

  head(): AuditHead {
    if (!this.#isClosed) this.#catchUp();
    return { seq: this.#tail.seq, hash: hashOf(this.#tail) };
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    try {
      fdatasyncSync(this.#fd);
    } finally {
      closeSync(this.#fd);
    }
  }

  /** The owner and the bundle write in turns: what the other wrote meanwhile is part of the chain. */
  #catchUp(): void {
    if (fstatSync(this.#fd).size !== this.#tail.size) this.#tail = readTail(this.#fd);
  }

  #write(event: AuditEvent, before: "" | "\n"): AuditLine {
    const line: AuditLine = {
      v: AUDIT_SCHEMA_VERSION,
      time: isoTime(this.#options.clock.now()),
      seq: this.#tail.seq + 1,
      bottle: this.#options.bottle,
      ...clipEvent(event),
      prev: hashOf(this.#tail),
    };
    const text = Buffer.from(JSON.stringify(line));
    const bytes = Buffer.concat([Buffer.from(before), text, Buffer.from("\n")]);
    const written = writeSync(this.#fd, bytes);
    if (written !== bytes.length) {
      this.#tail = readTail(this.#fd);
      throw new ProtocolError(
        "protocol.audit",
        `audit log: the system took ${written} of ${bytes.length} bytes; a whole line is needed`,
        { hint: "free space on the disk that holds the audit directory" },
      );
    }
    const size = this.#tail.size + bytes.length;
    this.#tail = { size, seq: line.seq, last: text, torn: "none", lastWhole: text };
    return line;
  }
}

/**
 * Rule of a line that reports a torn one. What is torn has no `prev`, so this names the last whole line instead: else that
 * one could be edited without a trace.
 */
function tornRule(lastWhole: Buffer | undefined): string {
  return `after:${lastWhole === undefined ? GENESIS_HASH : hashLine(lastWhole)}`;
}

/** Where the chain ends. `seq` counts an unfinished last line too. */
interface Tail {
  readonly size: number;
  readonly seq: number;
  /** Bytes of the last line, finished or not; undefined while the file is empty. */
  readonly last: Buffer | undefined;
  /** Bytes of the last line that follows the schema; undefined when there is none. */
  readonly lastWhole: Buffer | undefined;
  /** Whether the file ends in bytes that are no line of the log: `open` without a newline, `closed` with one. */
  readonly torn: "none" | "open" | "closed";
}

function hashOf(tail: Tail): string {
  return tail.last === undefined ? GENESIS_HASH : hashLine(tail.last);
}

/** Where the chain of a closed log ends; undefined when there is no such log. Throws ProtocolError, or a system error. */
export function auditHead(path: string): AuditHead | undefined {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  } catch (error) {
    if (systemCode(error) === "ENOENT") return undefined;
    throw error;
  }
  try {
    const tail = readTail(fd);
    return { seq: tail.seq, hash: hashOf(tail) };
  } finally {
    closeSync(fd);
  }
}

function readTail(fd: number): Tail {
  const { size } = fstatSync(fd);
  if (size === 0) return { size, seq: -1, last: undefined, lastWhole: undefined, torn: "none" };
  const start = Math.max(0, size - MAX_AUDIT_LINE_BYTES);
  const bytes = readRange(fd, start, size);
  const isEnded = bytes.at(-1) === NEWLINE;
  const body = isEnded ? bytes.subarray(0, -1) : bytes;
  const last = Buffer.from(body.subarray(body.lastIndexOf(NEWLINE) + 1));
  const line = isEnded ? parseAuditLine(last) : undefined;
  if (line !== undefined) return { size, seq: line.seq, last, lastWhole: last, torn: "none" };
  const lastWhole = findWhole(body.subarray(0, body.length - last.length));
  if (lastWhole === undefined && start > 0) {
    throw new ProtocolError(
      "protocol.audit",
      `audit log: its end is unreadable; lines of at most ${MAX_AUDIT_LINE_BYTES} bytes are expected`,
      { hint: "move the file away to keep it, then start again" },
    );
  }
  const seq = countNewlines(fd, size) - (isEnded ? 1 : 0);
  return { size, seq, last, lastWhole, torn: isEnded ? "closed" : "open" };
}

/** The last line in `bytes`, which end in a newline, that follows the schema. */
function findWhole(bytes: Buffer): Buffer | undefined {
  for (let end = bytes.length - 1; end >= 0; end = bytes.lastIndexOf(NEWLINE, end - 1)) {
    const line = bytes.subarray(bytes.lastIndexOf(NEWLINE, end - 1) + 1, end);
    if (parseAuditLine(line) !== undefined) return Buffer.from(line);
    if (end === 0) return undefined;
  }
  return undefined;
}

function readRange(fd: number, start: number, end: number): Buffer {
  const bytes = Buffer.alloc(end - start);
  let filled = 0;
  while (filled < bytes.length) {
    const count = readSync(fd, bytes, filled, bytes.length - filled, start + filled);
    if (count === 0) break;
    filled += count;
  }
  return bytes.subarray(0, filled);
}

function countNewlines(fd: number, size: number): number {
  let count = 0;
  for (let at = 0; at < size; at += READ_BYTES) {
    const bytes = readRange(fd, at, Math.min(size, at + READ_BYTES));
    for (let i = bytes.indexOf(NEWLINE); i !== -1; i = bytes.indexOf(NEWLINE, i + 1)) count += 1;
  }
  return count;
}

/** Cuts fields to the bounds of the schema: a decision is never lost because one of them is long. */
export function clipEvent(event: AuditEvent): AuditEvent {
  const clipped: AuditEvent = { ...event };
  for (const [field, limit] of LIMITS) {
    const value = clipped[field];
    if (value !== undefined && value.length > limit)
      clipped[field] = `${value.slice(0, limit - 1)}…`;
  }
  return clipped;
}

/** Reads all lines in order. Throws ProtocolError at one that follows neither the schema nor from a crash. */
export async function* readAudit(path: string): AsyncGenerator<AuditLine> {
  let broken: number | undefined;
  for (const { number, bytes, isEnded } of splitLines(path)) {
    if (!isEnded) return;
    const line = parseAuditLine(bytes);
    if (line === undefined) {
      broken ??= number;
      continue;
    }
    if (broken !== undefined && line.reason !== TORN_LINE_REASON) throw brokenLine(path, broken);
    broken = undefined;
    yield line;
  }
  if (broken !== undefined) throw brokenLine(path, broken);
}

function brokenLine(path: string, number: number): ProtocolError {
  return new ProtocolError("protocol.audit", `${path}:${number}: not a line of an audit log`, {
    hint: "run bot-bottle audit verify to see how far the log is intact",
  });
}

/** What verification found; `line` is 1-based, `seq` is the number the line should have. */
export type AuditVerdict =
  | { readonly ok: true; readonly lines: number; readonly head: AuditHead }
  | { readonly ok: false; readonly seq: number; readonly line: number; readonly why: string };

/**
 * Checks order and content of every line. Truncation at the end and wholesale rewriting show only against a `head`
 * that was noted elsewhere.
 */
export async function verifyAudit(
  path: string,
  options: { readonly head?: AuditHead } = {},
): Promise<AuditVerdict> {
  const chain = new ChainCheck(options.head);
  for (const raw of splitLines(path)) {
    const fault = chain.take(raw);
    if (fault !== undefined) return fault;
  }
  return chain.end();
}

const NOT_A_LINE = "it is not a line of an audit log";

/** Walks along a chain. Bytes that are no line are forgiven only to a line that reports them. */
class ChainCheck {
  readonly #head: AuditHead | undefined;
  #last: AuditHead = { seq: -1, hash: GENESIS_HASH };
  /** Hash of the last line that follows the schema. */
  #lastWhole = GENESIS_HASH;
  /** Number of the first line since then that does not. */
  #torn: number | undefined;

  constructor(head: AuditHead | undefined) {
    this.#head = head;
  }

  take({ number, bytes, isEnded }: RawLine): AuditVerdict | undefined {
    const seq = number - 1;
    if (!isEnded) return failAt(seq, "the last line is unfinished: a crash or an edit cut it");
    const line = parseAuditLine(bytes);
    const fault = line === undefined ? undefined : this.#judge(line, seq);
    if (fault !== undefined) return fault;
    const hash = hashLine(bytes);
    this.#torn = line === undefined ? (this.#torn ?? seq) : undefined;
    if (line !== undefined) this.#lastWhole = hash;
    this.#last = { seq, hash };
    if (this.#head?.seq !== seq || this.#head.hash === hash) return undefined;
    return failAt(seq, "it is not the line that the given head names");
  }

  end(): AuditVerdict {
    const last = this.#last;
    if (this.#torn !== undefined) return failAt(this.#torn, NOT_A_LINE);
    if (this.#head !== undefined && this.#head.seq > last.seq) {
      return failAt(last.seq, "the log ends before the given head");
    }
    return { ok: true, lines: last.seq + 1, head: last };
  }

  #judge(line: AuditLine, seq: number): AuditVerdict | undefined {
    if (this.#torn !== undefined) {
      if (line.reason !== TORN_LINE_REASON) return failAt(this.#torn, NOT_A_LINE);
      if (line.rule !== `after:${this.#lastWhole}`) {
        return failAt(seq, "it does not name the last whole line before it");
      }
    }
    if (line.seq !== seq) return failAt(seq, `its seq is ${line.seq}; ${seq} is expected`);
    if (line.prev === this.#last.hash) return undefined;
    return failAt(seq, "its prev is not the hash of the line before");
  }
}

function failAt(seq: number, why: string): AuditVerdict {
  return { ok: false, seq, line: seq + 1, why };
}

interface RawLine {
  /** 1-based. */
  readonly number: number;
  readonly bytes: Buffer;
  /** False for bytes after the last newline. */
  readonly isEnded: boolean;
}

function* splitLines(path: string): Generator<RawLine> {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    let rest: Buffer = Buffer.alloc(0);
    let number = 0;
    for (let at = 0; ; ) {
      const chunk = readRange(fd, at, at + READ_BYTES);
      if (chunk.length === 0) break;
      at += chunk.length;
      const bytes = Buffer.concat([rest, chunk]);
      let start = 0;
      for (let end = bytes.indexOf(NEWLINE); end !== -1; end = bytes.indexOf(NEWLINE, start)) {
        number += 1;
        yield { number, bytes: bytes.subarray(start, end), isEnded: true };
        start = end + 1;
      }
      rest = Buffer.from(bytes.subarray(start));
      if (rest.length > MAX_AUDIT_LINE_BYTES) break;
    }
    if (rest.length > 0) yield { number: number + 1, bytes: rest, isEnded: false };
  } finally {
    closeSync(fd);
  }
}
