// The fake smolvm says what the real one said when it was recorded.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { makeFakeSmolvm } from "../support/fake-smolvm.ts";
import { runCases } from "../support/smolvm-cases.ts";

it("the fake smolvm answers as the real one was recorded", () => {
  const root = mkdtempSync(join(tmpdir(), "bb-fake-"));
  try {
    const answers = runCases([makeFakeSmolvm(root)], {});
    const recorded = join(import.meta.dirname, "../fixtures/smolvm/answers-1.32.2.json");
    expect(answers).toEqual(JSON.parse(readFileSync(recorded, "utf8")));
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
});
