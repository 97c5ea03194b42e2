// The package as a user installs it: packed, put into an empty folder without a network, and used as a program, as a module and
// by a compiler.
import { execFileSync, spawn } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Ended, ended, REPOSITORY } from "../support/built-cli.ts";
import { processesAround } from "../support/find-secrets.ts";
import { requires } from "../support/requires.ts";

const MINUTES = 60_000;
const SEARCH_PATH = [
  dirname(process.execPath),
  "/usr/local/bin",
  "/usr/bin",
  "/bin",
  "/usr/sbin",
].join(delimiter);

/** A program that uses the SDK from plain JavaScript. */
const PROGRAM = `
import { homePaths, openBottle, parseHostPath, planStart } from "bot-bottle";
const here = process.cwd();
const { plan } = await planStart({
  home: homePaths(parseHostPath(here + "/home")), userHome: parseHostPath(here), cwd: parseHostPath(here + "/project"),
  env: process.env, agent: "worker", bottles: [], hasTerminal: false,
  options: { mode: "headless", copyCwd: true, keep: false, allow: [], backend: undefined, label: undefined, color: undefined, prompt: undefined, command: undefined },
});
let closed;
{
  await using bottle = await openBottle(plan, { env: process.env });
  closed = bottle.closed;
  const { exitCode, stdout } = await bottle.exec(["/bin/sh", "-c", "cat README.md; id -u; exit 3"]);
  console.log(JSON.stringify({ exitCode, stdout: stdout.toString() }));
}
const { failures, fault } = await closed;
console.log(JSON.stringify({ failures: failures.length, fault: String(fault) }));
`;

/** The same with the fakes, as a test of somebody's own would have it. */
const FAKES = `
import { homePaths, openBottle, parseHostPath, planStart, BottleError, ERROR_CODES } from "bot-bottle";
import { createFakeBackend, createFakeBundleHost } from "bot-bottle/testing";
const here = process.cwd();
const request = {
  home: homePaths(parseHostPath(here + "/home")), userHome: parseHostPath(here), cwd: parseHostPath(here + "/project"),
  env: { PATH: process.env.PATH }, agent: "worker", bottles: [], hasTerminal: false,
  options: { mode: "headless", copyCwd: false, keep: false, allow: [], backend: "fake", label: undefined, color: undefined, prompt: undefined, command: undefined },
};
const { plan } = await planStart(request);
await using bottle = await openBottle(plan, { env: {}, backend: createFakeBackend(), bundleHost: createFakeBundleHost() });
const { stdout } = await bottle.exec(["/bin/echo", "from a fake"]);
const error = await planStart({ ...request, agent: "nobody" }).catch((it) => it);
console.log(stdout.toString().trim(), error instanceof BottleError, error.code, error.code in ERROR_CODES);
`;

/** What a compiler must accept, and one thing that it must not. */
const TYPED = `
import { type Bottle, type BottlePlan, type BottleEvent, type ErrorCode, BottleError, homePaths, openBottle, parseHostPath, planStart, type StartOptions } from "bot-bottle";
import { createFakeBackend, createFakeBundleHost, type FakeModelApi } from "bot-bottle/testing";
const options: StartOptions = { mode: "headless", copyCwd: false, keep: false, allow: [], backend: undefined, label: undefined, color: undefined, prompt: undefined, command: ["true"] };
export async function run(): Promise<number | undefined> {
  const { plan } = await planStart({ home: homePaths(parseHostPath("/h")), userHome: parseHostPath("/u"), cwd: parseHostPath("/c"), env: {}, agent: "a", bottles: [], hasTerminal: false, options });
  const known: BottlePlan = plan;
  await using bottle: Bottle = await openBottle(known, { env: {}, backend: createFakeBackend(), bundleHost: createFakeBundleHost() });
  const { exitCode } = await bottle.exec(["true"]);
  for await (const event of bottle.events()) {
    const kind: BottleEvent["kind"] = event.kind;
    if (event.kind === "decision") {
      const verdict: "allow" | "deny" | "redact" | "hold" | undefined = event.event.verdict;
      const host: string | undefined = event.event.host;
      // @ts-expect-error the types of decisions are exact
      const wrong: number = event.event.reason;
      void [verdict, host, wrong];
    }
    if (kind === "closed") break;
  }
  return exitCode;
}
export const codeOf = (error: unknown): ErrorCode | undefined => (error instanceof BottleError ? error.code : undefined);
export type Models = FakeModelApi["requests"];
// @ts-expect-error a plain string is no host path
homePaths("/not/parsed");
`;

describe("the package", () => {
  let folder = "";
  let packed: { filename: string; files: { path: string; mode: number }[]; unpackedSize: number };
  const run = (
    program: string,
    argv: readonly string[],
    env: Record<string, string> = {},
  ): Promise<Ended> => {
    const child = spawn(program, argv, {
      cwd: folder,
      timeout: 2 * MINUTES,
      env: {
        PATH: SEARCH_PATH,
        HOME: folder,
        TMPDIR: join(folder, "tmp"),
        NODE_COMPILE_CACHE: join(folder, "compiled"),
        npm_config_update_notifier: "false",
        npm_config_fund: "false",
        npm_config_audit: "false",
        ...env,
      },
    });
    const end = ended(child);
    child.stdin.end();
    return end;
  };

  beforeAll(async () => {
    if (!existsSync(join(REPOSITORY, "dist/types/index.d.ts")))
      execFileSync(process.execPath, [join(REPOSITORY, "scripts/build.ts"), "--types"], {
        stdio: "ignore",
      });
    folder = mkdtempSync(join(tmpdir(), "bb-package-"));
    for (const name of ["tmp", "project", "home/bottles", "home/agents"])
      mkdirSync(join(folder, name), { recursive: true });
    writeFileSync(join(folder, "project", "README.md"), "a project\n");
    writeFileSync(
      join(folder, "home", "bottles", "box.md"),
      "---\nagent_provider: { template: command, settings: { argv: [/bin/true] } }\n---\n",
    );
    writeFileSync(join(folder, "home", "agents", "worker.md"), "---\nbottle: box\n---\n");
    const text = execFileSync(
      "npm",
      ["pack", "--json", "--ignore-scripts", "--pack-destination", folder],
      {
        cwd: REPOSITORY,
        encoding: "utf8",
        stdio: ["ignore", "pipe", "ignore"],
        env: { PATH: SEARCH_PATH, HOME: folder },
      },
    );
    const parsed = JSON.parse(text) as unknown;
    packed = (
      Array.isArray(parsed) ? parsed[0] : Object.values(parsed as object)[0]
    ) as typeof packed;
    writeFileSync(
      join(folder, "package.json"),
      '{"name":"consumer","private":true,"type":"module"}\n',
    );
    const install = await run("npm", [
      "install",
      "--offline",
      "--ignore-scripts",
      `./${packed.filename.replace(/^@?.*\//, "")}`,
    ]);
    expect([install.code, install.stderr]).toEqual([0, expect.any(String)]);
  }, 3 * MINUTES);
  afterAll(() => {
    expect(processesAround(folder)).toEqual([]);
    rmSync(folder, { recursive: true, force: true });
  });

  it("holds what runs and what explains it, and nothing of the workshop", () => {
    const paths = packed.files.map(({ path }) => path);
    for (const path of [
      "dist/cli.js",
      "dist/program.mjs",
      "dist/index.js",
      "dist/testing.js",
      "dist/bundle.js",
      "dist/suffixes.js",
      "dist/guest-init.js",
      "dist/types/index.d.ts",
      "dist/THIRD-PARTY-LICENSES",
      "README.md",
      "LICENSE",
      "SECURITY.md",
      "schema/bottle.schema.json",
      "examples/demo/files/agent.mjs",
      "images/claude/Dockerfile",
      "images/sidecars/Dockerfile",
      "scripts/agents/install.sh",
      "scripts/agents/package-lock.json",
      "scripts/docker/runsc.sh",
      "scripts/host-packages.sh",
      "scripts/images/make-base.sh",
    ]) {
      expect(paths).toContain(path);
    }
    expect(
      paths.filter((path) =>
        /^(src|test|node_modules|\.tools|\.ci|bin)\/|\.test\.|vitest|\.stamp|tsconfig/.test(path),
      ),
    ).toEqual([]);
    expect(packed.unpackedSize).toBeLessThan(8 * 1024 * 1024);
  });

  it("brings nothing else with it", () => {
    expect(
      readdirSync(join(folder, "node_modules")).filter((name) => !name.startsWith(".")),
    ).toEqual(["bot-bottle"]);
    const manifest = JSON.parse(
      readFileSync(join(folder, "node_modules/bot-bottle/package.json"), "utf8"),
    ) as Record<string, unknown>;
    expect(manifest["dependencies"] ?? {}).toEqual({});
    expect(manifest["scripts"]).not.toHaveProperty("postinstall");
  });

  it("has a program that says its version and its help", async () => {
    const version = await run("npx", ["--offline", "bot-bottle", "--version"]);
    expect([version.code, version.stdout.toString().trim()]).toEqual([
      0,
      JSON.parse(readFileSync(join(REPOSITORY, "package.json"), "utf8")).version,
    ]);
    const help = await run("npx", ["--offline", "bot-bottle", "--help"]);
    expect([help.code, help.stdout.toString()]).toEqual([0, expect.stringContaining("start")]);
    expect(help.stderr).toBe("");
  });

  it("compiles for a consumer", { timeout: MINUTES }, async () => {
    writeFileSync(join(folder, "typed.ts"), TYPED);
    const compilerOptions = {
      module: "nodenext",
      moduleResolution: "nodenext",
      target: "es2024",
      lib: ["es2024", "esnext.disposable"],
      strict: true,
      noEmit: true,
      exactOptionalPropertyTypes: true,
      skipLibCheck: false,
      types: ["node"],
      typeRoots: [join(folder, "types")],
    };
    writeFileSync(
      join(folder, "tsconfig.json"),
      JSON.stringify({ compilerOptions, files: ["typed.ts"] }),
    );
    mkdirSync(join(folder, "types"), { recursive: true });
    symlinkSync(join(REPOSITORY, "node_modules/@types/node"), join(folder, "types/node"));
    const { code, stdout } = await run(process.execPath, [
      join(REPOSITORY, "node_modules/typescript/bin/tsc"),
      "-p",
      "tsconfig.json",
    ]);
    expect([code, stdout.toString()]).toEqual([0, ""]);
  });

  it("can be tested against with its fakes, from plain JavaScript", async () => {
    writeFileSync(join(folder, "fakes.mjs"), FAKES);
    const { code, stdout, stderr } = await run(process.execPath, ["fakes.mjs"]);
    expect([code, stdout.toString(), stderr]).toEqual([
      0,
      "from a fake true manifest.unknown-agent true\n",
      "",
    ]);
  });

  describe("on this machine", requires("bwrap", "userns", "git"), () => {
    it("runs the demo", { timeout: 2 * MINUTES }, async () => {
      const { code, stdout, stderr } = await run(
        "npx",
        ["--offline", "bot-bottle", "demo", "--json"],
        { BOT_BOTTLE_HOME: join(folder, "own") },
      );
      expect([code, stderr]).toEqual([0, expect.any(String)]);
      const { claims } = JSON.parse(stdout.toString()) as { claims: { holds?: boolean }[] };
      expect(claims.filter(({ holds }) => holds !== true)).toEqual([]);
      expect(readdirSync(join(folder, "tmp"))).toEqual([]);
    });

    it("opens a bottle from plain JavaScript, and closes it at the end of its block", async () => {
      writeFileSync(join(folder, "program.mjs"), PROGRAM);
      const { code, stdout, stderr } = await run(process.execPath, ["program.mjs"]);
      expect([code, stderr]).toEqual([0, ""]);
      const [executed = "", end = ""] = stdout.toString().split("\n");
      expect(JSON.parse(executed)).toEqual({ exitCode: 3, stdout: "a project\n1000\n" });
      expect(JSON.parse(end)).toEqual({ failures: 0, fault: "undefined" });
    });

    it("works from a folder that only its owner can write, and that has a blank and a letter of another alphabet", async () => {
      const odd = join(folder, "a folder ü");
      mkdirSync(odd);
      cpSync(join(folder, "node_modules"), join(odd, "node_modules"), { recursive: true });
      cpSync(join(folder, "home"), join(odd, "home"), { recursive: true });
      const { code, stdout, stderr } = await run(
        process.execPath,
        [
          join(odd, "node_modules/bot-bottle/dist/cli.js"),
          "start",
          "worker",
          "--headless",
          "-q",
          "--",
          "/bin/echo",
          "works",
        ],
        { BOT_BOTTLE_HOME: join(odd, "home") },
      );
      expect([code, stdout.toString(), stderr]).toEqual([0, "works\n", ""]);
    });
  });
});
