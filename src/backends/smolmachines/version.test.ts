// What each version is taken for, at the edges of the families.
import { describe, expect, it } from "vitest";
import { compareVersions, judgeVersion, parseVersion } from "./version.ts";

describe("judgeVersion", () => {
  it.each([
    ["0.7.9", "refused"],
    ["0.8.0", "tsi"],
    ["1.0.1", "tsi"],
    ["1.0.2", "refused"],
    ["1.4.0", "refused"],
    ["1.8.0", "refused"],
    ["1.8.1", "sockets"],
    ["1.32.2", "sockets"],
    ["2.0.0", "sockets"],
  ])("takes %s for %s", (version, kind) => {
    expect(judgeVersion(version).kind).toBe(kind);
  });
});

describe("parseVersion", () => {
  it("knows smolvm by its own line", () => {
    expect(parseVersion("smolvm 1.32.2\n")).toBe("1.32.2");
    expect(parseVersion("smolvm 0.4.1 (another product)\n")).toBe("0.4.1");
    expect(parseVersion("SmolVM version 1.2.3\n")).toBeUndefined();
    expect(parseVersion("")).toBeUndefined();
  });
});

describe("compareVersions", () => {
  it("compares numbers, not text", () => {
    expect(compareVersions("1.10.0", "1.9.9")).toBeGreaterThan(0);
    expect(compareVersions("1.8.1", "1.8.1")).toBe(0);
    expect(compareVersions("0.99.0", "1.0.0")).toBeLessThan(0);
  });
});
