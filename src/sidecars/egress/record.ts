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
}

export interface TrafficFields {
  readonly host: string;
  readonly method: string;
  readonly path: string;
  readonly status?: number | undefined;
  readonly headers: HeaderList;
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
    traffic: (message, fields) => {
      if (logLevel < 2) return;
      const headers = fields.headers.map(([name, value]) => `${name}: ${mask(value) ?? ""}`);
      log.info(message, { ...fields, path: mask(fields.path), headers });
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
  return {
    kind,
    verdict: decided.kind,
    ...(host !== undefined && { host }),
    ...(method !== undefined && { method }),
    ...(path !== undefined && { path }),
    rule: decided.rule,
    reason: decided.kind === "deny" ? decided.reason : "allowed",
  };
}
