/** Reading an audit file back: line by line, and to see whether it is as it was written. */
import { closeSync, constants, openSync } from "node:fs";
import { ProtocolError } from "../base/errors.ts";
import type { AuditLine } from "./audit.ts";
import {
  type AuditHead,
  GENESIS_HASH,
  hashLine,
  MAX_AUDIT_LINE_BYTES,
  parseAuditLine,
  readRange,
  TORN_LINE_REASON,
} from "./audit-log.ts";

const NEWLINE = 0x0a;
const READ_BYTES = 64 * 1024;

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

/**
 * What verification found; `line` is 1-based, `seq` is the number the line should have. A line's content is proven by its
 * follower only: `from` is the first line that may not be as it was written, which can lie before `line`.
 */
export type AuditVerdict =
  | { readonly ok: true; readonly lines: number; readonly head: AuditHead }
  | {
      readonly ok: false;
      readonly seq: number;
      readonly line: number;
      readonly from: number;
      readonly why: string;
    };

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
  /** Seq of that line. */
  #lastWholeSeq = -1;
  /** Seq of the first line since then that does not. */
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
    if (line !== undefined) {
      this.#lastWhole = hash;
      this.#lastWholeSeq = seq;
    }
    this.#last = { seq, hash };
    if (this.#head?.seq !== seq || this.#head.hash === hash) return undefined;
    // Whoever writes all lines anew makes a chain that fits.
    return failAt(seq, "it is not the line that the given head names", 0);
  }

  end(): AuditVerdict {
    const last = this.#last;
    if (this.#torn !== undefined) return failAt(this.#torn, NOT_A_LINE);
    if (this.#head !== undefined && this.#head.seq > last.seq) {
      return failAt(last.seq, "the log ends before the given head", last.seq);
    }
    return { ok: true, lines: last.seq + 1, head: last };
  }

  #judge(line: AuditLine, seq: number): AuditVerdict | undefined {
    if (this.#torn !== undefined) {
      if (line.reason !== TORN_LINE_REASON) return failAt(this.#torn, NOT_A_LINE);
      if (line.rule !== `after:${this.#lastWhole}`) {
        const why = `it does not name the last whole line before it; line ${this.#lastWholeSeq + 1} or line ${seq + 1} was changed`;
        return failAt(seq, why, this.#lastWholeSeq);
      }
    }
    const isNext = line.prev === this.#last.hash;
    if (line.seq !== seq) {
      const why = `its seq is ${line.seq}; ${seq} is expected`;
      return failAt(seq, why, isNext ? seq : seq - 1);
    }
    return isNext ? undefined : failAt(seq, explainPrev(seq));
  }
}

const explainPrev = (seq: number): string =>
  seq === 0
    ? "its prev is not that of a first line"
    : `its prev is not the hash of line ${seq}; line ${seq} or its follower was changed`;

function failAt(seq: number, why: string, from: number = seq - 1): AuditVerdict {
  return { ok: false, seq, line: seq + 1, from: Math.max(0, from) + 1, why };
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
