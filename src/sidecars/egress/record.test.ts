import { describe, expect, it } from "vitest";
import { createLogger } from "../../base/log.ts";
import { compileKnownSecrets } from "../../policy/dlp/known-secrets.ts";
import type { AuditEvent } from "../../protocol/audit.ts";
import { createRecorder, type Recorder, type Subject } from "./record.ts";

const SECRET = "tok-0123456789abcdefGHIJ";
const scanPolicy = {
  detectors: [compileKnownSecrets([{ name: "TOKEN", value: SECRET }]).detector],
  placeholders: [],
};
const subject: Subject = {
  kind: "request",
  host: "api.test",
  method: "GET",
  path: `/a/${SECRET}`,
  isClean: false,
};

function setUp(
  logLevel: 0 | 1 | 2,
  fails = false,
): { recorder: Recorder; events: AuditEvent[]; lines: string[] } {
  const events: AuditEvent[] = [];
  const lines: string[] = [];
  const append = (event: AuditEvent): void => {
    if (fails) throw new Error("no space left on device");
    events.push(event);
  };
  const log = createLogger((line) => lines.push(line));
  return {
    recorder: createRecorder({ audit: { append }, log, logLevel, scanPolicy }),
    events,
    lines,
  };
}

describe("recording", () => {
  it("masks values and states rule and reason", () => {
    const { recorder, events } = setUp(0);
    expect(
      recorder.decide(subject, { kind: "deny", rule: "r", reason: "secret-found" }),
    ).toBeUndefined();
    recorder.decide({ ...subject, path: "/ok", isClean: true }, { kind: "allow", rule: "r" });
    expect(events).toEqual([
      {
        kind: "request",
        verdict: "deny",
        host: "api.test",
        method: "GET",
        path: "/a/***",
        rule: "r",
        reason: "secret-found",
      },
      {
        kind: "request",
        verdict: "allow",
        host: "api.test",
        method: "GET",
        path: "/ok",
        rule: "r",
        reason: "allowed",
      },
    ]);
  });

  it("turns an allow that cannot be appended into a denial", () => {
    const { recorder } = setUp(0, true);
    expect(recorder.decide(subject, { kind: "allow", rule: "r" })).toMatchObject({
      kind: "deny",
      reason: "audit-failed",
    });
  });

  it.each([
    [0, 0, 0],
    [1, 1, 0],
    [2, 1, 1],
  ] as const)("logs at level %i: %i blocks, %i requests", (level, blocks, traffic) => {
    const { recorder, lines } = setUp(level);
    recorder.decide(subject, { kind: "deny", rule: "r", reason: "no-match" });
    recorder.decide(subject, { kind: "allow", rule: "r" });
    recorder.traffic("egress_request", {
      host: "api.test",
      method: "GET",
      path: "/",
      headers: [["Authorization", `Bearer ${SECRET}`]],
    });
    expect(lines.filter((line) => line.includes("egress_block"))).toHaveLength(blocks);
    expect(lines.filter((line) => line.includes("egress_request"))).toHaveLength(traffic);
    expect(lines.join("")).not.toContain(SECRET);
  });
});
