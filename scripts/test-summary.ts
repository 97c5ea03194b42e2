// Prints the table of skipped tests and the closing line of bin/test; fails where no test ran.
import { existsSync, readFileSync } from "node:fs";
import type { Counts, Skip } from "./test-reporter.ts";

const [file = "", ...failedStages] = process.argv.slice(2);
const text = existsSync(file) ? readFileSync(file, "utf8") : "";
const runs = text
  .split("\n")
  .filter(Boolean)
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- our own reporter wrote the line
  .map((line) => JSON.parse(line) as Counts);

const sum = (of: (counts: Counts) => number): number => runs.reduce((all, it) => all + of(it), 0);
const skips: Skip[] = runs.flatMap((it) => it.skips);
const retried = runs.flatMap((it) => it.retried ?? []);
const passed = sum((it) => it.passed);
// A stage that failed without a failing test (a formatter, a crash) counts as one failure.
const failed = Math.max(
  sum((it) => it.failed),
  failedStages.length,
);

if (skips.length > 0) {
  console.log("\nNot proven here (REQUIRE=name,… makes a missing capability a failure):");
  for (const [reason, group] of Map.groupBy(skips, (it) => it.reason)) {
    console.log(`  ${reason}: ${group.length}`);
    for (const { name } of group) console.log(`    ${name}`);
  }
}
for (const what of retried) console.log(`\nretried: ${what}`);
if (retried.length > 0) console.log(`\n${retried.length} retried`);
if (failedStages.length > 0) console.log(`\nfailed: ${failedStages.join(", ")}`);
if (passed + failed === 0) console.log("\nno test ran");
console.log(`\n${passed} passed, ${failed} failed, ${skips.length} skipped`);
process.exitCode = failed > 0 || passed === 0 ? 1 : 0;
