/** Takes found values out of bytes and text. What cannot be taken out for certain is reported, so that the caller refuses. */
import { scanSteps } from "./scan.ts";
import { finish, type Steps } from "./steps.ts";
import { type Finding, type ScanPolicy, textView, type Unjudged, type View } from "./types.ts";

/** What stands where a value was; fits URLs, headers, JSON strings and host labels are refused before. */
export const MASK = "***";

/** How often a masked view is searched again before it counts as not maskable. */
const MAX_MASK_ROUNDS = 3;

/** Text that replaces a finding. */
export type Replacement = (finding: Finding) => string;

/** Replaces what findings cover; overlapping ones become one. */
export function maskFindings(
  bytes: Buffer,
  findings: readonly Finding[],
  replacement: Replacement = () => MASK,
): Buffer {
  const parts: Buffer[] = [];
  let done = 0;
  let covered = -1;
  for (const finding of findings.toSorted((a, b) => a.offset - b.offset)) {
    if (finding.offset >= covered) {
      parts.push(bytes.subarray(done, finding.offset), Buffer.from(replacement(finding), "utf8"));
    }
    covered = Math.max(covered, finding.offset + finding.length);
    done = covered;
  }
  parts.push(bytes.subarray(done));
  return Buffer.concat(parts);
}

/** Outcome of {@link redact}: clean bytes, or none because something could not be removed or not be judged. */
export type Redacted =
  | { readonly ok: true; readonly bytes: Buffer; readonly findings: readonly Finding[] }
  | { readonly ok: false; readonly findings: readonly Finding[] };

/** Masks a view and searches it again until nothing is found; gives up after a few rounds, and at once on what cannot be judged. */
export function redact(view: View, policy: ScanPolicy, replacement?: Replacement): Redacted {
  return finish(redactSteps(view, policy, replacement));
}

/** The same in steps, for what a guest may make long. */
export function* redactSteps(
  view: View,
  policy: ScanPolicy,
  replacement?: Replacement,
): Steps<Redacted> {
  let bytes = view.bytes;
  const all: Finding[] = [];
  for (let round = 0; round <= MAX_MASK_ROUNDS; round += 1) {
    const results = yield* scanSteps({ ...view, bytes }, policy);
    if (results.length === 0) return { ok: true, bytes, findings: all };
    const found = results.filter(canMask);
    all.push(...found);
    if (found.length < results.length) break;
    bytes = maskFindings(bytes, found, replacement);
  }
  return { ok: false, findings: all };
}

const canMask = (it: Finding | Unjudged): it is Finding =>
  it.kind === "secret" && it.isPacked !== true;

/** Text that is safe to log or show: every known value masked, or the mask alone when that is not certain. */
export function maskText(text: string, policy: ScanPolicy): string {
  const result = redact(textView("url", text), policy);
  return result.ok ? result.bytes.toString("utf8") : MASK;
}
