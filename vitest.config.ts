// One vitest project per layer of tests; bin/test runs them one after another.
import { defineConfig } from "vitest/config";
import { CountsReporter } from "./scripts/test-reporter.ts";
import { LongestFirst } from "./scripts/test-sequencer.ts";
import { WatchdogReporter } from "./scripts/test-watchdog.ts";

const MINUTE_MS = 60_000;

/**
 * Unattended, what meets real processes on a machine that others use too is tried once more, and the summary says so: one
 * lost race in thousands would otherwise hide what all the others found.
 */
const RETRIED = new Set(process.env["CI"] ? ["integration", "contract", "attack", "e2e"] : []);

/** Suites that touch processes, sockets and files: a process for every file. */
const isolated = (name: string, testTimeout: number, maxWorkers: number, groupOrder: number) => ({
  test: {
    retry: RETRIED.has(name) ? 1 : 0,
    name,
    include: [`test/${name}/**/*.test.ts`],
    pool: "forks" as const,
    isolate: true,
    testTimeout,
    hookTimeout: testTimeout,
    maxWorkers,
    sequence: { groupOrder },
  },
});

export default defineConfig({
  test: {
    reporters: ["default", new CountsReporter(), new WatchdogReporter()],
    allowOnly: false,
    retry: 0,
    sequence: { sequencer: LongestFirst },
    projects: [
      {
        test: {
          name: "unit",
          include: ["{src,scripts}/**/*.test.ts", "test/{pins,support}/**/*.test.ts"],
          pool: "threads",
          isolate: false,
          sequence: { groupOrder: 1 },
        },
      },
      isolated("architecture", MINUTE_MS, 2, 2),
      isolated("fuzz", 2 * MINUTE_MS, 2, 3),
      isolated("integration", 3 * MINUTE_MS, 2, 4),
      isolated("contract", 3 * MINUTE_MS, 2, 5),
      isolated("attack", 3 * MINUTE_MS, 2, 6),
      isolated("e2e", 5 * MINUTE_MS, 1, 7),
      isolated("machines", 5 * MINUTE_MS, 2, 8),
    ],
  },
});
