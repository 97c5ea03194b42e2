// Puts the files that take minutes first, so that two workers end at about the same time; vitest knows durations only where it has
// run before.
import { BaseSequencer, type TestSpecification } from "vitest/node";

/** Longest first; files that are not named come after them, as vitest has them. */
const LONGEST: readonly string[] = [
  "test/machines/contract-life.test.ts",
  "test/machines/kill-matrix.test.ts",
  "test/machines/contract.test.ts",
  "test/machines/attack.test.ts",
  "test/machines/contract-1.8.1.test.ts",
];

function rank({ moduleId }: TestSpecification): number {
  const at = LONGEST.findIndex((it) => moduleId.endsWith(it));
  return at === -1 ? LONGEST.length : at;
}

/** vitest's own order but for the longest. */
export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    return sorted.toSorted((a, b) => rank(a) - rank(b));
  }
}
