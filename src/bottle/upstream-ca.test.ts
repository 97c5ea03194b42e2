// A root that cannot be used is named with its place in the bottle file, before anything is started.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { ManifestError } from "../base/errors.ts";
import { parseHostPath } from "../base/ids.ts";
import { missingUpstreamCa, readUpstreamCa } from "./upstream-ca.ts";

it("says which file of which line cannot be used, and why", () => {
  const directory = mkdtempSync(join(tmpdir(), "upstream-ca-"));
  try {
    const path = parseHostPath(join(directory, "root.pem"));
    const from = { file: "/home/x/dev.md", line: 7, column: 3 };
    const files = { upstreamCaFiles: [path], upstreamCaFrom: from };
    const refused = (): ManifestError | undefined => {
      try {
        readUpstreamCa(files);
      } catch (error) {
        if (error instanceof ManifestError) return error;
        throw error;
      }
      return undefined;
    };
    expect(refused()).toMatchObject({
      message: `egress.upstream_ca does not exist: ${path}`,
      hint: expect.stringContaining("PEM"),
      issues: [{ file: "/home/x/dev.md", line: 7 }],
    });
    expect(missingUpstreamCa(files)[0]?.what).toContain("does not exist");
    writeFileSync(path, "no certificate");
    expect(refused()?.message).toContain("holds no PEM certificate");
    expect(missingUpstreamCa(files)[0]?.what).toMatch(/holds no PEM certificate.*dev\.md:7$/);
    writeFileSync(path, "-----BEGIN CERTIFICATE-----\n");
    expect([readUpstreamCa(files).length, missingUpstreamCa(files)]).toEqual([1, []]);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
