/** Runs all detectors over one view. Findings inside one of the bottle's own placeholders are dropped. */
import type { Finding, ScanPolicy, View } from "./types.ts";

/** Most findings of one detector in one view: more change no decision, and redaction scans again. */
export const MAX_FINDINGS = 256;

/** Searches a view; findings come in order of their offset. */
export function scan(view: View, policy: ScanPolicy): readonly Finding[] {
  const found = policy.detectors.flatMap((detector) => detector.find(view, MAX_FINDINGS));
  if (found.length === 0) return found;
  const inert = policy.placeholders.flatMap((text) => occurrences(view.bytes, text));
  return found
    .filter((it) => !inert.some((at) => at.start <= it.offset && at.end >= it.offset + it.length))
    .toSorted((a, b) => a.offset - b.offset || b.length - a.length);
}

function occurrences(bytes: Buffer, text: string): { start: number; end: number }[] {
  const ranges: { start: number; end: number }[] = [];
  const needle = Buffer.from(text, "utf8");
  if (needle.length === 0) return ranges;
  for (let at = bytes.indexOf(needle); at >= 0; at = bytes.indexOf(needle, at + 1)) {
    ranges.push({ start: at, end: at + needle.length });
  }
  return ranges;
}
