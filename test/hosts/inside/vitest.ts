// Stands in for vitest's runner inside of the emulated host, where starting the real one takes too long: the same suites,
// the same `expect`, one test after another. Each result is one line of JSON in the file named by SUITE_RESULTS.
import { appendFileSync } from "node:fs";
import { inspect } from "node:util";
// The bundler leads this import, alone, to the real vitest.
import { expect } from "vitest";

export { expect };

type Body = () => unknown;

interface Suite {
  readonly names: readonly string[];
  readonly before: Body[];
  readonly after: Body[];
  readonly beforeEach: Body[];
  readonly afterEach: Body[];
}

interface Case {
  readonly name: string;
  readonly suites: readonly Suite[];
  readonly body: Body;
}

/** One line of the results. */
export interface CaseResult {
  readonly names: readonly string[];
  readonly ms: number;
  /** Why it was tried once more, where it was. */
  readonly late?: string;
  /** Absent where it passed. */
  readonly failure?: string;
}

/** Far more than a test takes: a busy machine emulates slowly, and the suite's own deadline ends what hangs. */
const DEFAULT_TIMEOUT_MS = 400_000;
const cases: Case[] = [];
let around: readonly Suite[] = [newSuite([])];
let finishing: Body[] = [];
const settings = {
  results: process.env["SUITE_RESULTS"] ?? "/dev/stdout",
  timeoutMs: Number(process.env["SUITE_TIMEOUT_MS"] ?? DEFAULT_TIMEOUT_MS),
  only: new RegExp(process.env["SUITE_ONLY"] ?? ""),
};

function newSuite(names: readonly string[]): Suite {
  return { names, before: [], after: [], beforeEach: [], afterEach: [] };
}

function innermost(): Suite {
  const suite = around.at(-1);
  if (suite === undefined) throw new Error("no suite is open");
  return suite;
}

export function describe(name: string, ...rest: readonly unknown[]): void {
  const outer = around;
  around = [...outer, newSuite([...innermost().names, name])];
  bodyOf(rest)();
  around = outer;
}

export function it(name: string, ...rest: readonly unknown[]): void {
  cases.push({ name, suites: around, body: bodyOf(rest) });
}

export const test = it;

function bodyOf(rest: readonly unknown[]): Body {
  const body = rest.find((it) => typeof it === "function");
  if (body === undefined) throw new Error("a suite or test has no body");
  return body as Body;
}

export function beforeAll(body: Body): void {
  innermost().before.push(body);
}
export function afterAll(body: Body): void {
  innermost().after.push(body);
}
export function beforeEach(body: Body): void {
  innermost().beforeEach.push(body);
}
export function afterEach(body: Body): void {
  innermost().afterEach.push(body);
}
export function onTestFinished(body: Body): void {
  finishing.push(body);
}

/** What the suites use of vitest's `vi`. */
export const vi = {
  async waitFor<T>(
    body: () => T | Promise<T>,
    options: number | { timeout?: number } = {},
  ): Promise<T> {
    const timeout = typeof options === "number" ? options : (options.timeout ?? 1000);
    const end = performance.now() + timeout;
    for (;;) {
      try {
        return await body();
      } catch (error) {
        if (performance.now() > end) throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  },
};

async function runCase(one: Case): Promise<void> {
  const from = performance.now();
  const names = [...(one.suites.at(-1)?.names ?? []), one.name];
  let failures = await tryCase(one);
  const late = failures.find((it) => LATE.test(it));
  if (late !== undefined) failures = await tryCase(one);
  tell(names, performance.now() - from, { failures, late });
}

/** How a time limit, ours or smolvm's, made for real machines, is told to have passed. What hangs is as late a second time. */
const LATE =
  /(?:^TimeoutError: |\[timeout\.deadline\] )waited \d+ ms|not become ready within \d+ s/m;

async function tryCase({ suites, body }: Case): Promise<readonly string[]> {
  const failures: string[] = [];
  const attempt = async (step: Body): Promise<void> => {
    try {
      await within(step);
    } catch (error) {
      failures.push(describeFailure(error));
    }
  };
  finishing = [];
  for (const step of suites.flatMap((it) => it.beforeEach)) await attempt(step);
  if (failures.length === 0) await attempt(body);
  for (const step of [...suites].reverse().flatMap((it) => it.afterEach)) await attempt(step);
  for (const step of [...finishing].reverse()) await attempt(step);
  return failures;
}

/** An assertion's own message is cut short; what was seen and what was expected is not. */
function describeFailure(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const text = error.stack ?? error.message;
  if (!("actual" in error && "expected" in error)) return text;
  const show = (value: unknown): string => inspect(value, { depth: 4, maxStringLength: 4000 });
  return `${text}\nseen: ${show(error.actual)}\nexpected: ${show(error.expected)}`;
}

interface Outcome {
  readonly failures: readonly string[];
  readonly late?: string | undefined;
}

function tell(names: readonly string[], ms: number, { failures, late }: Outcome): void {
  const result: CaseResult = {
    ...{ names, ms: Math.round(ms) },
    ...(late === undefined ? {} : { late }),
    ...(failures.length === 0 ? {} : { failure: failures.join("\n\n") }),
  };
  appendFileSync(settings.results, `${JSON.stringify(result)}\n`);
}

async function within(step: Body): Promise<void> {
  const { promise, reject } = Promise.withResolvers<never>();
  const late = new Error(`not over after ${settings.timeoutMs} ms`);
  const timer = setTimeout(() => reject(late), settings.timeoutMs);
  try {
    await Promise.race([step(), promise]);
  } finally {
    clearTimeout(timer);
  }
}

/** Suites whose hooks have run, outermost first. */
const opened: Suite[] = [];
/** Suites of which a hook before all tests failed, and how. */
const broken = new Map<Suite, string>();

async function closeBeyond(suites: readonly Suite[]): Promise<void> {
  while (opened.some((it) => !suites.includes(it))) {
    for (const step of opened.pop()?.after ?? []) await within(step);
  }
}

async function enter(suites: readonly Suite[]): Promise<void> {
  await closeBeyond(suites);
  for (const suite of suites.slice(opened.length)) {
    opened.push(suite);
    for (const step of suite.before) {
      try {
        await within(step);
      } catch (error) {
        broken.set(suite, describeFailure(error));
      }
    }
  }
  const reason = suites.map((it) => broken.get(it)).find((it) => it !== undefined);
  if (reason !== undefined) throw new Error(reason);
}

async function runAll(): Promise<void> {
  const fullName = (it: Case): string => [...(it.suites.at(-1)?.names ?? []), it.name].join(" ");
  const chosen = cases.filter((it) => settings.only.test(fullName(it)));
  for (const one of chosen) {
    try {
      await enter(one.suites);
      await runCase(one);
    } catch (error) {
      const failures = [`its suite could not be opened: ${describeFailure(error)}`];
      tell([fullName(one)], 0, { failures });
    }
  }
  await closeBeyond([]);
}

process.on("unhandledRejection", (error) =>
  tell(["no promise is left rejected"], 0, { failures: [String(error)] }),
);
// The suites are declared by the modules that import this one, which are evaluated by then.
setImmediate(() => {
  void runAll().then(() => process.exit(0));
});
