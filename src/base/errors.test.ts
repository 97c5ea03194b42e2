import { describe, expect, it } from "vitest";
import { assertNever, invariant } from "./assert.ts";
import { ERROR_CODES, EXIT_STATUS } from "./error-codes.ts";
import {
  BottleError,
  BugError,
  CancelledError,
  HostError,
  LaunchError,
  ManifestError,
  messageOf,
  PolicyDeniedError,
  ProtocolError,
  SidecarError,
  systemCode,
  TimeoutError,
  UsageError,
} from "./errors.ts";

const ALL: readonly BottleError[] = [
  new UsageError("usage.path", "m"),
  new ManifestError("manifest.invalid", "m"),
  new HostError("host.disk-full", "m"),
  new LaunchError("launch.door", "m"),
  new PolicyDeniedError("policy.denied", "m"),
  new SidecarError("sidecar.died", "m"),
  new ProtocolError("protocol.frame", "m"),
  new TimeoutError("m"),
  new CancelledError("m", { signal: "SIGINT" }),
  new BugError("m"),
];

describe("errors", () => {
  it("carry class, code and kind", () => {
    const names = ALL.map((error) => `${error.name} ${error.code} ${error.kind}`);
    expect(names).toEqual([
      "UsageError usage.path usage",
      "ManifestError manifest.invalid manifest",
      "HostError host.disk-full host",
      "LaunchError launch.door launch",
      "PolicyDeniedError policy.denied denied",
      "SidecarError sidecar.died sidecar",
      "ProtocolError protocol.frame protocol",
      "TimeoutError timeout.deadline timeout",
      "CancelledError cancelled.signal cancelled",
      "BugError bug.invariant bug",
    ]);
    for (const error of ALL) {
      expect(error).toBeInstanceOf(BottleError);
      expect(error.stack).toContain("errors.test.ts");
    }
  });

  it("keep hint, details and cause, and have no cause of their own making", () => {
    const cause = new Error("why");
    const error = new HostError("host.disk-full", "m", { hint: "h", details: { a: 1 }, cause });
    expect(error).toMatchObject({ hint: "h", details: { a: 1 } });
    expect(error.cause).toBe(cause);
    const bare = new HostError("host.disk-full", "m");
    expect("cause" in bare).toBe(false);
    expect(bare).toMatchObject({ hint: undefined, details: {} });
  });

  it("have an exit status for every kind in use", () => {
    for (const { kind } of Object.values(ERROR_CODES)) expect(EXIT_STATUS[kind]).toBeGreaterThan(0);
  });
});

describe("what was caught", () => {
  it("is described whatever it is", () => {
    expect(systemCode(Object.assign(new Error("x"), { code: "ENOENT" }))).toBe("ENOENT");
    for (const it of [new Error("x"), { code: "ENOENT" }, undefined, null, "ENOENT", 3]) {
      expect(systemCode(it)).toBeUndefined();
    }
    expect(systemCode(Object.assign(new Error("x"), { code: 5 }))).toBeUndefined();
    expect(messageOf(new Error("x"))).toBe("x");
    expect([messageOf("text"), messageOf(undefined)]).toEqual(["text", "undefined"]);
  });

  it("is a bug where it cannot be", () => {
    expect(() => assertNever("x" as never, "here")).toThrow(BugError);
    expect(() => invariant(0, "zero")).toThrow("invariant broken: zero");
    expect(() => invariant(1, "one")).not.toThrow();
  });
});
