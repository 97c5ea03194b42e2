// Tests in the emulated host: each on a fresh copy of it, within a hard deadline, and once more (told in the summary) where
// the host itself failed. A test that fails is not tried again, but where a time limit of ours or of smolvm has passed: in there, that is at
// times the emulator's doing.
import { appendFileSync, existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "vitest";
import type { Counts } from "../../scripts/test-reporter.ts";
import type { CaseResult } from "../hosts/inside/vitest.ts";
import type { SmolvmVersion } from "../hosts/recipe.ts";
import { install } from "./machine-programs.ts";
import type { requires } from "./requires.ts";
import { HostHungError, INSIDE, type MachineHost, openMachineHost } from "./smolvm-host.ts";

interface RunOptions {
  readonly version?: SmolvmVersion;
  /** For people, in the summary. */
  readonly what: string;
  readonly deadlineMs: number;
}

/** Runs the body with a fresh host. */
export async function withMachineHost<T>(
  options: RunOptions,
  body: (host: MachineHost) => Promise<T>,
): Promise<T> {
  try {
    return await attempt(options, body);
  } catch (error) {
    if (!(error instanceof HostHungError)) throw error;
    countRetry(`${options.what}: ${error.message}`);
    return attempt(options, body);
  }
}

async function attempt<T>(
  { version, deadlineMs }: RunOptions,
  body: (host: MachineHost) => Promise<T>,
): Promise<T> {
  await using host = await openMachineHost(version === undefined ? {} : { version });
  const late = Promise.withResolvers<never>();
  const hung = new HostHungError(`not over after ${deadlineMs} ms`);
  const timer = setTimeout(() => late.reject(hung), deadlineMs);
  try {
    return await Promise.race([body(host), late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

function countRetry(what: string): void {
  const counts: Counts = { passed: 0, failed: 0, skips: [], retried: [what] };
  const file = process.env["TEST_COUNTS"];
  if (file) appendFileSync(file, `${JSON.stringify(counts)}\n`);
  else console.error(`retried: ${what}`);
}

export interface SuiteOptions extends RunOptions {
  /** A module of test/machines/inside that declares suites as vitest's do. */
  readonly entry: string;
  /** Tests whose whole name this matches. */
  readonly only?: RegExp;
}

/** Runs a suite inside of the host and declares one test here for each there, with its outcome. */
export async function declareSuite(
  options: SuiteOptions,
  needs: ReturnType<typeof requires>,
): Promise<void> {
  if (needs.skip) {
    it(options.what, needs, () => undefined);
    return;
  }
  const from = performance.now();
  const results = await withMachineHost(options, (host) => runSuite(host, options));
  const seconds = ((performance.now() - from) / 1000).toFixed(0);
  describe(`${options.what} (${seconds} s)`, () => {
    for (const { names, ms, failure } of results) {
      it(`${names.join(" > ")} (${ms} ms)`, () => {
        if (failure !== undefined) throw new Error(failure);
      });
    }
  });
}

async function runSuite(host: MachineHost, options: SuiteOptions): Promise<readonly CaseResult[]> {
  const { entry, only, deadlineMs } = options;
  const program = await install(host, `test/machines/inside/${entry}`);
  const results = join(host.share, "results.jsonl");
  const ended = await host.exec(["node", program], {
    timeoutMs: deadlineMs,
    env: {
      BOT_BOTTLE_IMAGE: INSIDE.image,
      BOT_BOTTLE_SMOLVM: host.smolvm,
      // Emulated machines of one processor boot faster.
      BOT_BOTTLE_TEST_LIMITS: "{ cpus: 1, memory: 512MiB }",
      SUITE_RESULTS: `${INSIDE.io}/results.jsonl`,
      ...(only === undefined ? {} : { SUITE_ONLY: only.source }),
    },
  });
  const lines = existsSync(results)
    ? readFileSync(results, "utf8").split("\n").filter(Boolean)
    : [];
  const told = lines.map((line) => JSON.parse(line) as CaseResult);
  for (const { names, late } of told)
    if (late !== undefined) countRetry(`${names.join(" > ")}: ${late.split("\n")[0]}`);
  if (ended.status === 124) throw new HostHungError(`after ${told.length} tests`);
  const isWell = ended.status === 0 && told.every(({ failure }) => failure === undefined);
  if (!isWell) await refuseCrashes(host);
  if (ended.status === 0 && told.length > 0) return told;
  const failure = `the suite ended with ${ended.status}:\n${ended.stdout}${ended.stderr}`;
  return [...told, { names: ["the suite runs to its end"], ms: 0, failure }];
}

/** Programs that crash for no reason of their own were run wrongly by the emulator; nothing is to be learned from the rest. */
async function refuseCrashes(host: MachineHost): Promise<void> {
  const { stdout } = await host.exec(["dmesg", "--notime"]);
  const crash = stdout.split("\n").find((line) => CRASH.test(line));
  if (crash !== undefined) throw new HostHungError(`a program crashed: ${crash.slice(0, 120)}`);
}

const CRASH = /\]: segfault at |\] general protection|\] trap \w+ ip:/;
