import { expect, it } from "vitest";
import type { AuditEvent } from "../protocol/audit.ts";
import type { BundleReport } from "../protocol/bundle.ts";
import { reportingAudit, TOLD_AGAIN_MS } from "./reporting-audit.ts";

const EVENT: AuditEvent = { kind: "request", verdict: "allow", rule: "r", reason: "allowed" };

it("tells events, and once each that the log cannot be written and that it can again", () => {
  const told: BundleReport[] = [];
  let isFull = false;
  let now = 0;
  const file = {
    append: () => {
      if (isFull) throw new Error("no space");
    },
  };
  const audit = reportingAudit(file, { now: () => now }, (report) => told.push(report));
  const kinds = (): string[] =>
    told.splice(0).map((it) => (it.kind === "audit" ? `${it.state} ${it.detail}` : it.kind));
  audit.append(EVENT);
  expect(kinds()).toEqual(["event"]);
  isFull = true;
  for (let i = 0; i < 3; i += 1) expect(() => audit.append(EVENT)).toThrow("no space");
  expect(kinds()).toEqual(["failed no space"]);
  isFull = false;
  audit.append(EVENT);
  expect(kinds()).toEqual(["recovered ", "event"]);
  // By turns: not more often than people can read.
  isFull = true;
  expect(() => audit.append(EVENT)).toThrow("no space");
  expect(kinds()).toEqual([]);
  now += TOLD_AGAIN_MS;
  expect(() => audit.append(EVENT)).toThrow("no space");
  expect(kinds()).toEqual(["failed no space"]);
});
