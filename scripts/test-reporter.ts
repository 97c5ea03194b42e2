// Appends one line of counts per vitest run to the file named by TEST_COUNTS, for bin/test to sum.
import { appendFileSync } from "node:fs";
import type { Reporter, TestCase, TestModule, TestSuite } from "vitest/node";

/** A test that did not run, and why. */
export type Skip = { readonly name: string; readonly reason: string };

/** What one run, or one stage without tests, adds to the sum. */
export type Counts = {
  readonly passed: number;
  readonly failed: number;
  readonly skips: readonly Skip[];
  /** What was done once more: after the emulated host around it had failed, or, unattended, the test itself. */
  readonly retried?: readonly string[];
};

/** The reason given to ctx.skip(…), or by requires(…) on the test or a suite around it. */
function reasonOf(test: TestCase): string {
  const result = test.result();
  if (result.state === "skipped" && result.note) return result.note;
  for (let task: TestCase | TestSuite | TestModule = test; ; task = task.parent) {
    const { skipReason } = task.meta();
    if (skipReason) return skipReason;
    if (task.type !== "test" && task.errors().length > 0) return "the suite around it failed";
    if (task.type === "module") return "no reason given";
  }
}

/** Why the first try failed. */
function firstError(test: TestCase): string {
  const message = test.result().errors?.[0]?.message ?? "no reason given";
  return message.split("\n", 1)[0] ?? message;
}

/** Counts tests, files that could not be loaded and errors outside of tests. */
export class CountsReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], errors: readonly unknown[]): void {
    let passed = 0;
    let failed = errors.length;
    const skips: Skip[] = [];
    const retried: string[] = [];
    for (const module of modules) {
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        if (state !== "skipped" && (test.diagnostic()?.retryCount ?? 0) > 0)
          retried.push(`${test.project.name}: ${test.fullName}: ${firstError(test)}`);
        if (state === "passed") passed += 1;
        else if (state === "skipped")
          skips.push({ name: `${test.project.name}: ${test.fullName}`, reason: reasonOf(test) });
        else failed += 1;
      }
      const suites = [module, ...module.children.allSuites()];
      failed += suites.filter((it) => it.errors().length > 0).length;
    }
    const file = process.env["TEST_COUNTS"];
    if (file) appendFileSync(file, `${JSON.stringify({ passed, failed, skips, retried })}\n`);
  }
}
