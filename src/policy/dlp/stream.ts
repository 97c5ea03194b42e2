/**
 * Searching and masking of streams. The scanner holds back one byte less than the longest spelling, so that no literal
 * spelling ever leaves whole; the masker holds back only what could still become one.
 */
import type { KnownSecrets } from "./known-secrets.ts";
import type { Literal } from "./literal-matcher.ts";
import { scanSteps } from "./scan.ts";
import type { Steps } from "./steps.ts";
import type { Finding, ScanPolicy, Surface, Unjudged } from "./types.ts";

/** Bytes already sent that are looked at again, for encodings that are longer than any literal. */
export const STREAM_CONTEXT_BYTES = 4096;

/** What may be sent on, and the finding that ends the stream: after one, or a part that cannot be judged, nothing is ever safe again. */
export interface Scanned {
  readonly safe: Buffer;
  readonly finding: Finding | Unjudged | undefined;
}

/** Judges a stream chunk by chunk, each after the steps of the one before. A chunk costs some KiB besides its own bytes: small ones should be put together. */
export interface StreamScanner {
  push(chunk: Buffer): Steps<Scanned>;
  /** Judges the end and gives out what was held back. */
  end(): Steps<Scanned>;
}

const EMPTY = Buffer.alloc(0);

/** Makes a scanner of one stream; `before` is what stands in front of it, sent already. A finding's offset counts from the beginning of the looked-at window. */
export function createStreamScanner(
  surface: Surface,
  policy: ScanPolicy,
  before: Buffer = EMPTY,
): StreamScanner {
  const longest = Math.max(1, ...policy.detectors.map((it) => it.longest));
  let context = before;
  let held: Buffer = EMPTY;
  let finding: Finding | Unjudged | undefined;

  function* release(fresh: Buffer, keep: number): Steps<Scanned> {
    if (finding !== undefined) return { safe: EMPTY, finding };
    const pending = Buffer.concat([held, fresh]);
    const window = Buffer.concat([context, pending]);
    if (fresh.length > 0) finding = (yield* scanSteps({ surface, bytes: window }, policy))[0];
    if (finding !== undefined) {
      context = held = EMPTY;
      return { safe: EMPTY, finding };
    }
    const cut = Math.max(0, pending.length - keep);
    held = pending.subarray(cut);
    const sent = window.subarray(0, window.length - held.length);
    context = sent.subarray(Math.max(0, sent.length - STREAM_CONTEXT_BYTES));
    return { safe: pending.subarray(0, cut), finding: undefined };
  }

  return {
    push: (chunk) => release(chunk, longest - 1),
    end: () => release(EMPTY, 0),
  };
}

/** Replaces secrets in a stream. */
export interface StreamMasker {
  push(chunk: Buffer): Buffer;
  /** Gives out what was held back. */
  end(): Buffer;
  /** Spellings replaced so far. */
  readonly count: number;
}

/** Bytes that stand for a found spelling; the default keeps the length, so that framing by length stays true. */
export type StreamReplacement = (literal: Literal, length: number) => Buffer;

interface Cover {
  readonly literal: Literal;
  readonly start: number;
  readonly end: number;
}

/** Makes a masker of one stream, for values that an upstream echoes. */
export function createStreamMasker(
  secrets: KnownSecrets,
  replacement: StreamReplacement = (_, length) => Buffer.alloc(length, "*"),
): StreamMasker {
  const { literals } = secrets;
  let held: Buffer = EMPTY;
  let count = 0;

  const release = (bytes: Buffer, open: number): Buffer => {
    const covers = findCovers(secrets, bytes).filter((it) => it.start < open);
    if (covers.length === 0) {
      held = bytes.subarray(open);
      return open === bytes.length ? bytes : bytes.subarray(0, open);
    }
    const parts: Buffer[] = [];
    let done = 0;
    for (const cover of covers) {
      parts.push(
        bytes.subarray(done, cover.start),
        replacement(cover.literal, cover.end - cover.start),
      );
      done = cover.end;
    }
    count += covers.length;
    const cut = Math.max(done, open);
    parts.push(bytes.subarray(done, cut));
    held = bytes.subarray(cut);
    return Buffer.concat(parts);
  };

  return {
    push: (chunk) => {
      const bytes = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
      return release(bytes, literals.openTail(bytes));
    },
    end: () => release(held, held.length),
    get count() {
      return count;
    },
  };
}

/** Matches merged where they overlap, in order. */
function findCovers(secrets: KnownSecrets, bytes: Buffer): readonly Cover[] {
  const found: Cover[] = [];
  secrets.literals.find(bytes, (literal, start, end) => {
    found.push({ literal, start, end });
    return true;
  });
  const merged: Cover[] = [];
  for (const it of found.toSorted((a, b) => a.start - b.start || b.end - a.end)) {
    const last = merged.at(-1);
    if (last === undefined || it.start >= last.end) merged.push(it);
    else merged[merged.length - 1] = { ...last, end: Math.max(last.end, it.end) };
  }
  return merged;
}
