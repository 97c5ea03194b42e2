/**
 * Asks the operator about a request in which something was found, where its route says so. Invariant: what is granted is
 * this one request, named by the digest of all that was judged of it; no answer means no.
 */
import { maskText } from "../../policy/dlp/mask.ts";
import type { ScanPolicy } from "../../policy/dlp/types.ts";
import type { Deny } from "../../policy/verdict.ts";
import type { Ask } from "../descriptor.ts";
import type { Authorized } from "./context.ts";

/** Time for an answer. */
export const ASK_DEADLINE_MS = 300_000;
/** What the operator is asked for. */
const TOOL = "egress-token-allow";

/** What is asked about; a later step's context fits as well. */
type Request = Omit<Authorized, "kind">;

/** Whom to ask, and what is not in the request's head. */
export interface Subject {
  readonly ask: Ask;
  readonly policy: ScanPolicy;
  readonly body: Buffer | undefined;
}

/** Whether the operator lets a request pass in spite of a finding. */
export async function isGranted(asked: Request, verdict: Deny, subject: Subject): Promise<boolean> {
  if (asked.route.outboundOnMatch !== "supervise" || verdict.reason !== "secret-found")
    return false;
  const { ask, policy, body } = subject;
  const { method, authority, path } = asked;
  // Of the finding only its name, of the request no query: both are shown and kept.
  const [what = ""] = verdict.explanation.split(";");
  const summary = `${method} ${maskText(`${authority.host}${path}`, policy)}: ${what}`;
  const digest = digestOf(asked, body);
  const answer = await ask.ask({ tool: TOOL, digest, summary, deadlineMs: ASK_DEADLINE_MS });
  return answer === "granted";
}

function digestOf(asked: Request, body: Buffer | undefined): string {
  const { method, scheme, authority, path, query, headers } = asked;
  const head = JSON.stringify([
    method,
    scheme,
    authority.host,
    authority.port,
    path,
    query,
    headers,
  ]);
  const hash = process.getBuiltinModule("node:crypto").createHash("sha256");
  hash.update(`${Buffer.byteLength(head)}\n${head}`);
  if (body !== undefined) hash.update(body);
  return hash.digest("hex");
}
