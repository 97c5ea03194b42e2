// What a failed launch says of its log fits one line and holds nothing that a terminal would act on.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { lastLines, logHint } from "./log-tail.ts";

it("tells the last lines, cleaned and bounded", () => {
  expect(lastLines("a\nb\n\nc\u001b[31m\nd\r\n")).toBe("b | c [31m | d");
  expect(lastLines("x".repeat(5000))).toHaveLength(601);
  expect(lastLines("\n \n")).toBe("");
});

it("reads the end of a long log, and gives another way where there is none", () => {
  const directory = mkdtempSync(join(tmpdir(), "log-tail-"));
  try {
    const path = join(directory, "bundle.log");
    expect(logHint(path)).toBe("run bot-bottle doctor");
    writeFileSync(path, `${"early\n".repeat(10_000)}late\n`);
    expect(logHint(path)).toBe("its log ends with: early | early | late");
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
