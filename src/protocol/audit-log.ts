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
/**
 * Largest log that a bundle writes: some three million decisions. A guest that asks without end would fill the disk of its
 * operator; what goes beyond cannot be recorded, so it is refused.
 */
export const MAX_AUDIT_BYTES: number = 1024 * 1024 * 1024;
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
  /** Size beyond which nothing is appended; without end where it is left out. */
  readonly maxBytes?: number;
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
  return process.getBuiltinModule("node:crypto").hash("sha256", line, "hex");
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
  #time = { at: Number.NaN, text: "" };

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

  /** Requests come many a millisecond, and writing a date out costs as much as hashing a line. */
  #now(): string {
    const now = this.#options.clock.now();
    if (this.#time.at !== now) this.#time = { at: now, text: isoTime(now) };
    return this.#time.text;
  }

  #refuseBeyond(size: number): void {
    const { maxBytes } = this.#options;
    if (maxBytes === undefined || size <= maxBytes) return;
    throw new ProtocolError(
      "protocol.audit",
      `audit log: it has reached ${maxBytes} bytes; nothing is appended beyond`,
      { hint: "end the bottle and start another one" },
    );
  }

  #write(event: AuditEvent, before: "" | "\n"): AuditLine {
    const line: AuditLine = {
      v: AUDIT_SCHEMA_VERSION,
      time: this.#now(),
      seq: this.#tail.seq + 1,
      bottle: this.#options.bottle,
      ...clipEvent(event),
      prev: hashOf(this.#tail),
    };
    const bytes = Buffer.from(`${before}${JSON.stringify(line)}\n`);
    const text = bytes.subarray(before.length, bytes.length - 1);
    this.#refuseBeyond(this.#tail.size + bytes.length);
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

/** Reads bytes of an open file; fewer where it ends. */
export function readRange(fd: number, start: number, end: number): Buffer {
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
