// Ends a run in which nothing happens any more: vitest's own time limits do not reach a worker whose loop stands still, nor
// one that never exits. Says which files had not ended, and what the machine's processes were.
import { execFileSync } from "node:child_process";
import { appendFileSync } from "node:fs";
import type { Reporter, TestCase, TestModule } from "vitest/node";
import type { Counts } from "./test-reporter.ts";

const MINUTE_MS = 60_000;
/** No run may be silent for longer: above every time limit of a single test or hook of its project. */
const SILENT_MS: Readonly<Record<string, number>> = { machines: 30 * MINUTE_MS };
const DEFAULT_SILENT_MS = 7 * MINUTE_MS;
/** Between two looks. */
const LOOK_MS = 5000;

/** Watches a run; ends the process where none of its files has told anything for too long. */
export class WatchdogReporter implements Reporter {
  /** What each file that has not ended told last. */
  readonly #running = new Map<string, string>();
  #limitMs = DEFAULT_SILENT_MS;
  #lastWord = performance.now();
  #timer: NodeJS.Timeout | undefined;

  onTestModuleQueued(module: TestModule): void {
    this.#timer ??= setInterval(() => this.#look(), LOOK_MS);
    // TEST_SILENT_MS is for trying this.
    const limit = Number(process.env["TEST_SILENT_MS"]) || SILENT_MS[module.project.name];
    this.#limitMs = limit ?? DEFAULT_SILENT_MS;
    this.#note(module, "not begun");
  }

  onTestModuleStart(module: TestModule): void {
    this.#note(module, "begun");
  }

  onTestCaseReady(test: TestCase): void {
    this.#note(test.module, `in: ${test.fullName}`);
  }

  onTestCaseResult(test: TestCase): void {
    this.#note(test.module, `after: ${test.fullName}`);
  }

  onTestModuleEnd(module: TestModule): void {
    this.#lastWord = performance.now();
    this.#running.delete(module.moduleId);
  }

  onTestRunEnd(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #note(module: TestModule, doing: string): void {
    this.#lastWord = performance.now();
    this.#running.set(module.moduleId, `${module.relativeModuleId}, ${doing}`);
  }

  #look(): void {
    if (performance.now() - this.#lastWord < this.#limitMs) return;
    const lines = [...this.#running.values()].map((it) => `  ${it}`);
    console.error(
      `\nnothing happened for ${this.#limitMs / 1000} s; not ended:\n${lines.join("\n")}`,
    );
    const columns = "pid,ppid,etimes,time,stat,wchan:20,args";
    console.error(execFileSync("ps", ["-eo", columns, "--cols", "200"], { encoding: "utf8" }));
    const counts: Counts = { passed: 0, failed: lines.length, skips: [] };
    const file = process.env["TEST_COUNTS"];
    if (file) appendFileSync(file, `${JSON.stringify(counts)}\n`);
    process.exit(1);
  }
}
