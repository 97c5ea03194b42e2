// Tests in the emulated host: each on a fresh copy of it, within a hard deadline, and once more (told in the summary) where
// the host itself failed. A test that fails is never tried again.
import { appendFileSync, copyFileSync, existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { build, type Plugin } from "esbuild";
import { describe, it } from "vitest";
import { builtins } from "../../scripts/build/builtins.ts";
import type { Counts } from "../../scripts/test-reporter.ts";
import type { CaseResult } from "../hosts/inside/vitest.ts";
import type { SmolvmVersion } from "../hosts/recipe.ts";
import type { requires } from "./requires.ts";
import { HostHungError, INSIDE, type MachineHost, openMachineHost } from "./smolvm-host.ts";

const REPOSITORY = join(import.meta.dirname, "../..");

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
  /** This part of how many; tests are dealt out one by one. */
  readonly part?: readonly [number, number];
  /** Tests whose whole name this matches. */
  readonly only?: RegExp;
}

/** Where the package lies in the host, on its own disk. */
export const INSTALLED = "/opt/bot-bottle";

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
  const { entry, part = [1, 1], only, deadlineMs } = options;
  await bundleSuite(entry, join(host.share, "suite"));
  await install(host);
  const results = join(host.share, "results.jsonl");
  const ended = await host.exec(["node", `${INSTALLED}/dist/suite.mjs`], {
    timeoutMs: deadlineMs,
    env: {
      BOT_BOTTLE_IMAGE: INSIDE.image,
      BOT_BOTTLE_SMOLVM: host.smolvm,
      // Emulated machines of one processor boot faster.
      BOT_BOTTLE_TEST_LIMITS: "{ cpus: 1, memory: 512MiB }",
      SUITE_RESULTS: `${INSIDE.io}/results.jsonl`,
      SUITE_PART: String(part[0]),
      SUITE_PARTS: String(part[1]),
      ...(only === undefined ? {} : { SUITE_ONLY: only.source }),
    },
  });
  const lines = existsSync(results)
    ? readFileSync(results, "utf8").split("\n").filter(Boolean)
    : [];
  const told = lines.map((line) => JSON.parse(line) as CaseResult);
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

/** Puts the built package onto the host's own disk, and the suite, if there is one, beside its files. */
export async function install(host: MachineHost): Promise<void> {
  const { checkout, io } = INSIDE;
  const parts = ["dist", "examples", "images", "package.json"].filter((it) =>
    existsSync(join(REPOSITORY, it)),
  );
  const script = [
    `mkdir -p ${INSTALLED} && cd ${checkout}`,
    `tar -c --exclude=dist/types --exclude=node_modules ${parts.join(" ")} | tar -x -C ${INSTALLED}`,
    `if [ -e ${io}/suite ]; then cp -r ${io}/suite/. ${INSTALLED}/; fi`,
  ].join("\n");
  const { status, stderr } = await host.exec(["sh", "-ec", script]);
  if (status !== 0) throw new Error(`the package could not be put into the host: ${stderr}`);
}

/** The suite as one file with our sources and vitest's `expect`, beside it the programs that suites start. */
async function bundleSuite(entry: string, target: string): Promise<void> {
  await build({
    entryPoints: {
      "dist/suite": join(REPOSITORY, "test/machines/inside", entry),
      "fixtures/programs/attack-owner": join(PROGRAMS, "attack-owner.ts"),
    },
    outdir: target,
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node24",
    minifyWhitespace: true,
    outExtension: { ".js": ".mjs" },
    logLevel: "warning",
    banner: { js: BANNER },
    plugins: [builtins, ownRunner],
  });
  const programs = join(target, "fixtures/programs");
  for (const name of readdirSync(PROGRAMS).filter((it) => /\.(?:mjs|pl)$/.test(it)))
    copyFileSync(join(PROGRAMS, name), join(programs, name));
}

const PROGRAMS = join(REPOSITORY, "test/fixtures/programs");
const BANNER = [
  'import { createRequire } from "node:module";',
  "const require = createRequire(import.meta.url);",
  "const __builtin = globalThis.process.getBuiltinModule;",
].join("\n");
const RUNNER = join(REPOSITORY, "test/hosts/inside/vitest.ts");

/** Gives every module our runner, and the runner alone the real vitest; nothing is built inside of the host. */
const ownRunner: Plugin = {
  name: "own-runner",
  setup: (it) => {
    it.onResolve({ filter: /^vitest$/ }, ({ importer }) =>
      importer === RUNNER ? undefined : { path: RUNNER },
    );
    it.onResolve({ filter: /^esbuild$/ }, () => ({ path: "esbuild", namespace: "absent" }));
    it.onLoad({ filter: /.*/, namespace: "absent" }, () => ({
      contents: "export const build = undefined;",
    }));
  },
};
