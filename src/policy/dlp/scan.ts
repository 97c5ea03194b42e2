/**
 * Runs all detectors over one view. Findings inside one of the bottle's own placeholders are dropped. Invariant: an empty answer
 * means that everything was looked at.
 */
import { type Packed, packedAtStart } from "./packed.ts";
import { finish, type Steps, waitFor } from "./steps.ts";
import type { Detection, Detector, Finding, ScanPolicy, Unjudged, View } from "./types.ts";

/** Most findings of one detector in one view: more change no decision, and redaction scans again. */
export const MAX_FINDINGS = 256;

/** Searches a view at once, without what is packed in it; findings come in order of their offset, what could not be judged after them. */
export function scan(view: View, policy: ScanPolicy): Scan {
  return finish(scanLevel(view, policy, undefined));
}

/** What a search gives. */
export type Scan = readonly (Finding | Unjudged)[];

/** The same in steps, for what a guest may make long, and with what is packed. */
export function scanSteps(view: View, policy: ScanPolicy): Steps<Scan> {
  return scanLevel(view, policy, { depth: 0, rest: { bytes: MAX_UNPACKED_BYTES } });
}

/** Most bytes that are unpacked from one view, at all depths together: as much as a body may be decoded to. */
export const MAX_UNPACKED_BYTES: number = 8 * 1024 * 1024;
/** Packed data inside packed data: an archive in an archive in an encoding, and no honest client goes deeper. */
export const MAX_PACKED_DEPTH = 3;

/** How far unpacking has come. */
interface Level {
  readonly depth: number;
  /** What may still be unpacked, at all depths together. */
  readonly rest: { bytes: number };
}

/** Without a level nothing is unpacked. */
function* scanLevel(view: View, policy: ScanPolicy, level: Level | undefined): Steps<Scan> {
  const detections: Detection[] = [];
  for (const detector of policy.detectors) {
    const isUndone = view.form !== undefined && detector.undoes?.includes(view.form) === true;
    detections.push(isUndone ? NOTHING : yield* detector.find(view, MAX_FINDINGS));
  }
  // Nearly everything is clean, and then nobody needs to know where placeholders stand.
  const isClean = detections.every((it) => it.findings.length === 0 && it.isComplete);
  const found = isClean ? CLEAN : judgeAll(view, policy, detections);
  const packed = detections.find((it) => it.packed !== undefined)?.packed ?? [];
  if (found.length > 0 || packed.length === 0 || level === undefined) return found;
  return yield* scanPacked(packed, { view, policy, level });
}

function judgeAll(view: View, policy: ScanPolicy, detections: readonly Detection[]): Scan {
  const inert = policy.placeholders.flatMap((text) => occurrences(view.bytes, text));
  const judged = policy.detectors.map((detector, index) =>
    judge(detector, { view, detection: detections[index] ?? UNSEEN }, inert),
  );
  const findings = judged
    .flatMap((it) => it.findings)
    .toSorted((a, b) => a.offset - b.offset || b.length - a.length);
  return [...findings, ...judged.flatMap((it) => it.unjudged ?? [])];
}

interface Unpacking {
  readonly view: View;
  readonly policy: ScanPolicy;
  readonly level: Level;
}

/** Searches what is in packed data, and what is behind it. */
function* scanPacked(packed: readonly Packed[], { view, policy, level }: Unpacking): Steps<Scan> {
  const { unpack } = policy;
  const { surface } = view;
  if (unpack === undefined) return CLEAN;
  const open = [...packed];
  for (let next = open.shift(); next !== undefined; next = open.shift()) {
    const place = next;
    const unpacked = yield* waitFor(() => unpack(place));
    if (unpacked === undefined) continue;
    if (unpacked !== "beyond-bounds") {
      const rest = next.bytes.subarray(unpacked.end);
      if (packedAtStart(rest) === "zlib") open.push({ format: "zlib", bytes: rest });
    }
    const inner = unpacked === "beyond-bounds" ? undefined : unpacked.bytes;
    if (inner === undefined || inner.length > level.rest.bytes || level.depth >= MAX_PACKED_DEPTH) {
      return [{ kind: "unjudged", detector: UNPACKING, surface }];
    }
    level.rest.bytes -= inner.length;
    const results = yield* scanLevel({ surface, form: "packed", bytes: inner }, policy, {
      depth: level.depth + 1,
      rest: level.rest,
    });
    if (results.length > 0) return results.map((it) => hidden(it, next.format));
  }
  return CLEAN;
}

const UNPACKING = "unpacking";

const hidden = (it: Finding | Unjudged, format: string): Finding | Unjudged =>
  it.kind === "unjudged" ? it : { ...it, isPacked: true, encoding: `${format}+${it.encoding}` };

const CLEAN: Scan = [];
const NOTHING: Detection = { findings: [], isComplete: true };
const UNSEEN: Detection = { findings: [], isComplete: false };

interface Searched {
  readonly view: View;
  readonly detection: Detection;
}

interface Judged {
  readonly findings: readonly Finding[];
  readonly unjudged: Unjudged | undefined;
}

function judge(
  detector: Detector,
  { view, detection }: Searched,
  inert: readonly Stretch[],
): Judged {
  const { findings, isComplete } = detection;
  const isInert = (it: Finding): boolean =>
    inert.some((at) => at.start <= it.offset && at.end >= it.offset + it.length);
  const kept = findings.filter((it) => !isInert(it));
  // A search that ended at its limit has not seen the rest, and none of what it saw may count.
  const isWhole = isComplete && (kept.length > 0 || findings.length < MAX_FINDINGS);
  const { surface } = view;
  return {
    findings: kept,
    unjudged: isWhole ? undefined : { kind: "unjudged", detector: detector.name, surface },
  };
}

interface Stretch {
  readonly start: number;
  readonly end: number;
}

function occurrences(bytes: Buffer, text: string): Stretch[] {
  const ranges: Stretch[] = [];
  const needle = Buffer.from(text, "utf8");
  if (needle.length === 0) return ranges;
  for (let at = bytes.indexOf(needle); at >= 0; at = bytes.indexOf(needle, at + 1)) {
    ranges.push({ start: at, end: at + needle.length });
  }
  return ranges;
}
