// Puts what runs in the emulated host there: the built package, and one entry of ours with the programs that it starts, each bundled to
// one file.
import { copyFileSync, existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { build, type Plugin } from "esbuild";
import { builtins } from "../../scripts/build/builtins.ts";
import { INSIDE, type MachineHost } from "./smolvm-host.ts";

const REPOSITORY = join(import.meta.dirname, "../..");
/** Where the package lies in the host, on its own disk. */
const INSTALLED = "/opt/bot-bottle";

/**
 * Puts the built package onto the host's own disk, and an entry of ours beside its files, with the programs that suites start. What
 * is resolved is where the entry lies.
 */
export async function install(host: MachineHost, entry: string): Promise<string> {
  await bundlePrograms(entry, join(host.share, "suite"));
  const { checkout, io } = INSIDE;
  const parts = ["dist", "examples", "images", "package.json"].filter((it) =>
    existsSync(join(REPOSITORY, it)),
  );
  const script = [
    `mkdir -p ${INSTALLED} && cd ${checkout}`,
    `tar -c --exclude=dist/types --exclude=node_modules ${parts.join(" ")} | tar -x -C ${INSTALLED}`,
    `cp -r ${io}/suite/. ${INSTALLED}/`,
  ].join("\n");
  const { status, stderr } = await host.exec(["sh", "-ec", script]);
  if (status !== 0) throw new Error(`the package could not be put into the host: ${stderr}`);
  return `${INSTALLED}/dist/suite.mjs`;
}

/** Programs that suites start, built as they are. */
const STARTED = ["attack-owner", "cli-paused", "smolvm-paused"] as const;

/** The entry as one file with our sources and vitest's `expect`, beside it the programs that suites start. */
async function bundlePrograms(entry: string, target: string): Promise<void> {
  await build({
    entryPoints: {
      "dist/suite": join(REPOSITORY, entry),
      ...Object.fromEntries(
        STARTED.map((name) => [`fixtures/programs/${name}`, join(PROGRAMS, `${name}.ts`)]),
      ),
    },
    // No module of ours is the program there, whatever it is when it is started alone.
    define: { "import.meta.main": "false" },
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
