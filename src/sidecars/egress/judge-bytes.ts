/** Judges bytes that are whole: what of them may leave, or why nothing does. */
import { deny } from "../../policy/decide.ts";
import { redactSteps } from "../../policy/dlp/mask.ts";
import { scanSteps } from "../../policy/dlp/scan.ts";
import type { Steps } from "../../policy/dlp/steps.ts";
import type { Finding, ScanPolicy, Unjudged } from "../../policy/dlp/types.ts";
import type { Route } from "../../policy/egress.ts";
import type { Deny } from "../../policy/verdict.ts";

/** Masks with the same number of bytes, so that no length in the message becomes wrong. */
export const sameLength = (finding: Finding): string => "*".repeat(finding.length);

/** Searches bytes; gives them, masked where the route says so. */
export function* judgeBytes(
  bytes: Buffer,
  { rule, outboundOnMatch }: Pick<Route, "rule" | "outboundOnMatch">,
  policy: ScanPolicy,
): Steps<Buffer | Deny> {
  const view = { surface: "body", bytes } as const;
  const [finding] = yield* scanSteps(view, policy);
  if (finding === undefined) return bytes;
  if (outboundOnMatch !== "redact") return found(finding, rule);
  const masked = yield* redactSteps(view, policy, sameLength);
  return masked.ok ? masked.bytes : found(finding, rule);
}

/** The refusal of a finding, or of what could not be judged. Names the secret and how it was hidden, never its value. */
export function found(finding: Finding | Unjudged, rule: string): Deny {
  if (finding.kind === "unjudged") {
    const why = `the ${finding.surface} has more encodings inside each other than can be undone`;
    return deny("undecodable-body", rule, `${why}; send it with fewer of them, or in parts`);
  }
  const what = `${finding.secret} (${finding.encoding}) was found in the ${finding.surface}`;
  return deny(
    "secret-found",
    rule,
    `${what}; a known secret does not leave: send its placeholder where it has one, otherwise leave it out`,
  );
}

/** The refusal where bodies hold all the memory that they may. */
export function tooMuchHeld(rule: string): Deny {
  return deny("not-ready", rule, "too many bodies are held at once; try again later");
}
