/**
 * The audit log of the bundle, told to its owner as it goes. Invariant: an event is told only after it was written, and a log
 * that cannot be written is told soon, but never as often as a guest likes.
 */
import type { Clock } from "../base/clock.ts";
import { messageOf } from "../base/errors.ts";
import type { AuditEvent } from "../protocol/audit.ts";
import { clipEvent } from "../protocol/audit-log.ts";
import type { BundleReport } from "../protocol/bundle.ts";
import type { Audit } from "../sidecars/descriptor.ts";

/** A log that fails and recovers by turns, as a guest can make one on a disk that is almost full, is told this often. */
export const TOLD_AGAIN_MS = 10_000;

/** Appends to `file` and sends what became of it. Throws what the file throws. */
export function reportingAudit(
  file: { append(event: AuditEvent): unknown },
  clock: Pick<Clock, "now">,
  send: (report: BundleReport) => void,
): Audit {
  let toldAt: number | undefined;
  let isToldFailed = false;
  const tell = (state: "failed" | "recovered", detail: string): void => {
    isToldFailed = state === "failed";
    send({ kind: "audit", state, detail });
  };
  const fail = (error: unknown): void => {
    const now = clock.now();
    if (isToldFailed || (toldAt !== undefined && now - toldAt < TOLD_AGAIN_MS)) return;
    toldAt = now;
    tell("failed", messageOf(error));
  };
  return {
    append: (event) => {
      try {
        file.append(event);
      } catch (error) {
        fail(error);
        throw error;
      }
      if (isToldFailed) tell("recovered", "");
      send({ kind: "event", event: clipEvent(event) });
    },
  };
}
