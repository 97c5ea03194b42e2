/**
 * The audit event and its schema. One JSON object a line, append-only, hash-chained: `prev` is the SHA-256 of the previous
 * line's bytes (without newline), 64 zeros for the first. Never holds a secret: matched values in host and path are
 * masked, query strings are not logged.
 */
import * as z from "zod/mini";
import { once } from "../base/once.ts";

export const AUDIT_SCHEMA_VERSION = 1;

export const VERDICTS = ["allow", "deny", "redact", "hold"] as const;

/** What was decided or happened. `request`: egress judged a request; `connect`: a tunnel; the rest are the bottle's life. */
export const AUDIT_KINDS = [
  "launch",
  "policy",
  "connect",
  "request",
  "response",
  "door",
  "bundle",
  "agent",
  "close",
] as const;

const optionalText = (max: number): z.ZodMiniOptional<z.ZodMiniString> =>
  z.optional(z.string().check(z.maxLength(max)));

/** A decision as a daemon states it, before it gets its place in the chain. */
export const auditEventSchema = once(() =>
  z.strictObject({
    kind: z.enum(AUDIT_KINDS),
    verdict: z.optional(z.enum(VERDICTS)),
    host: optionalText(300),
    method: optionalText(32),
    path: optionalText(2048),
    /** The rule that decided, such as `egress.routes[0]` or `default-deny`. */
    rule: optionalText(300),
    /** Stable reason code, such as `host-not-allowed`. */
    reason: optionalText(100),
    /** For people; never a secret. */
    detail: optionalText(1000),
  }),
);
export type AuditEvent = z.infer<ReturnType<typeof auditEventSchema>>;

/** One line of the log. */
export const auditLineSchema = once(() =>
  z.extend(auditEventSchema(), {
    v: z.literal(AUDIT_SCHEMA_VERSION),
    time: z.string(),
    seq: z.int().check(z.gte(0)),
    bottle: z.string(),
    prev: z.string().check(z.regex(/^[0-9a-f]{64}$/)),
  }),
);
export type AuditLine = z.infer<ReturnType<typeof auditLineSchema>>;
