import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { requires } from "../../test/support/requires.ts";
import { makeDirectory } from "./make-directory.ts";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "bot-bottle-mkdir-"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

it("makes the directory and its parents for their owner only", () => {
  makeDirectory(join(root, "a/b/c"));
  for (const path of ["a", "a/b", "a/b/c"])
    expect(statSync(join(root, path)).mode & 0o777).toBe(0o700);
  makeDirectory(join(root, "a/b/c"));
});

it("refuses a file in its place", () => {
  writeFileSync(join(root, "file"), "");
  expect(() => makeDirectory(join(root, "file"))).toThrow("EEXIST");
  expect(() => makeDirectory(join(root, "file/below"))).toThrow("ENOTDIR");
});

it("returns where nothing can be made", requires("linux"), () => {
  const fault = expect.objectContaining({ code: "host.unwritable" });
  expect(() => makeDirectory("/proc/no-such-directory/below")).toThrow(fault);
});
