/**
 * Last step: writes decisions to the audit log and traffic to the log. Invariant: neither holds a secret's value or a query
 * string, and an allow counts only after the append has returned.
 */
import { messageOf } from "../../base/errors.ts";
import type { Logger } from "../../base/log.ts";
import { deny } from "../../policy/decide.ts";
import { maskText } from "../../policy/dlp/mask.ts";
import type { ScanPolicy } from "../../policy/dlp/types.ts";
import type { HeaderList } from "../../policy/headers.ts";
import type { Deny } from "../../policy/verdict.ts";
import type { AuditEvent } from "../../protocol/audit.ts";
import type { Audit } from "../descriptor.ts";

/** What was decided about. Everything in it may still hold a secret. */
export interface Subject {
  readonly kind: "connect" | "request" | "response";
  /** `host:port`; undefined when it could not be read. */
  readonly host: string | undefined;
  readonly method: string | undefined;
  /** Without query. */
  readonly path: string | undefined;
  /** The scan found nothing, so masking would search the same text once more for nothing. */
  readonly isClean: boolean;
}

/** What was decided. */
export type Decided =
  | { readonly kind: "allow" | "redact"; readonly rule: string }
  | Pick<Deny, "kind" | "rule" | "reason">;

export interface Recorder {
  /** Appends a decision. Gives the denial that takes its place when it cannot be appended. */
  decide(subject: Subject, decided: Decided): Deny | undefined;
  /** Logs a request or a response at level 2. */
  traffic(message: string, fields: TrafficFields): void;
  /** False below level 2: then nobody needs to collect what would be logged. */
  readonly logsTraffic: boolean;
}

/** Bytes of a body that are logged. */
export const MAX_LOGGED_BODY_BYTES = 4096;
/** Bytes that are masked for it: more, so that no value is cut in two at the end of what is logged. */
export const MAX_SAMPLED_BODY_BYTES: number = 4 * MAX_LOGGED_BODY_BYTES;

export interface TrafficFields {
  readonly host: string;
  readonly method: string;
  readonly path: string;
  readonly status?: number | undefined;
  readonly headers: HeaderList;
  /** Its beginning, where it is readable. */
  readonly body?: Buffer | undefined;
}

export interface RecorderOptions {
  readonly audit: Audit;
  readonly log: Logger;
  readonly logLevel: 0 | 1 | 2;
  readonly scanPolicy: ScanPolicy;
}

/** Makes the recorder of one policy. */
export function createRecorder(options: RecorderOptions): Recorder {
  const { audit, log, logLevel, scanPolicy } = options;
  const mask = (text: string | undefined): string | undefined =>
    text === undefined ? undefined : maskText(text, scanPolicy);
  return {
    decide: (subject, decided) => {
      const event = toEvent(subject, decided, subject.isClean ? (text) => text : mask);
      if (logLevel > 0 && decided.kind !== "allow") log.warn("egress_block", { ...event });
      try {
        audit.append(event);
        return undefined;
      } catch (error) {
        log.error("audit append failed", { error: messageOf(error) });
        return auditFailed;
      }
    },
    logsTraffic: logLevel === 2,
    traffic: (message, fields) => {
      if (logLevel < 2) return;
      const headers = fields.headers.map(([name, value]) => `${name}: ${mask(value) ?? ""}`);
      const sample = fields.body?.subarray(0, MAX_SAMPLED_BODY_BYTES).toString("utf8");
      const body = mask(sample)?.slice(0, MAX_LOGGED_BODY_BYTES);
      log.info(message, { ...fields, path: mask(fields.path), headers, body });
    },
  };
}

const auditFailed: Deny = deny(
  "audit-failed",
  "egress",
  "the decision could not be written to the audit log; tell the operator, the disk may be full",
);

function toEvent(
  subject: Subject,
  decided: Decided,
  mask: (text: string | undefined) => string | undefined,
): AuditEvent {
  const { kind, method } = subject;
  const host = mask(subject.host);
  const path = mask(subject.path);
  const { rule } = decided;
  const reason = decided.kind === "deny" ? decided.reason : "allowed";
  // The common case at once: it is made with every request.
  if (host !== undefined && method !== undefined && path !== undefined) {
    return { kind, verdict: decided.kind, host, method, path, rule, reason };
  }
  return {
    kind,
    verdict: decided.kind,
    ...(host !== undefined && { host }),
    ...(method !== undefined && { method }),
    ...(path !== undefined && { path }),
    rule,
    reason,
  };
}
