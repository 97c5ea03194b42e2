// Builds dist/ with esbuild: `node scripts/build.ts [--types]`.
// Modules come from node_modules, else from .tools/node_modules; entries that do not exist yet are
// skipped. Every file appears whole by a rename, entries after the chunks they load.
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, relative } from "node:path";
import type { BuildOptions, Metafile } from "esbuild";
import { builtins } from "./build/builtins.ts";
import { program } from "./build/program.ts";

const started = new Date();
const root = join(import.meta.dirname, "..");
const dist = join(root, "dist");
const withTypes = process.argv.includes("--types");
/** A program that runs for days may still load a chunk of an older build. */
const KEEP_CHUNKS_MS = 7 * 24 * 3600 * 1000;

refuseOldNode();
const modules = findModules();
if (withTypes && !existsSync(join(root, "node_modules/typescript"))) {
  stop("typescript is missing, and types are asked for", "npm install --include=dev");
}
// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the module of this name
const { build } = createRequire(join(modules, "../package.json"))(
  "esbuild",
) as typeof import("esbuild");
mkdirSync(join(root, ".tools"), { recursive: true });
const temp = mkdtempSync(join(root, ".tools/build-"));
try {
  const split = existing({
    index: "src/index.ts",
    testing: "src/testing/index.ts",
  });
  const metafiles = [
    await bundle({ ...existing({ cli: "src/cli/entry.ts" }), plugins: [builtins, program] }),
    // One file: each file that Node loads as a module costs a start half a millisecond. What a command does not need is not run.
    await bundle({ ...existing({ program: "src/cli/main.ts" }), outExtension: { ".js": ".mjs" } }),
    await bundle({
      ...split,
      splitting: true,
      chunkNames: "chunks/[name]-[hash]",
      // A name that tells what is in a file spares Node the search for a package.json, for each chunk.
      outExtension: { ".js": ".mjs" },
    }),
    // Plain scripts: Node loads them faster than modules, and they are the same in either system.
    await bundle({ ...existing({ bundle: "src/bundle/main.ts" }), format: "iife" }),
    await bundle({ ...existing({ suffixes: "src/bundle/suffixes.ts" }), format: "cjs" }),
    await bundle({
      ...existing({ "guest-init": "src/guest-init/main.ts" }),
      format: "iife",
      target: "node20",
      banner: { js: '"use strict";const __builtin=globalThis.process.getBuiltinModule??require;' },
    }),
  ];
  for (const name of ["index.mjs", "testing.mjs"].filter((it) => existsSync(join(temp, it)))) {
    renameSync(join(temp, name), join(temp, name.replace(/mjs$/, "js")));
  }
  if (existsSync(join(temp, "cli.js"))) markExecutable(join(temp, "cli.js"));
  writeFileSync(join(temp, "THIRD-PARTY-LICENSES"), licences(metafiles));
  if (withTypes) emitTypes();
  publish();
} catch (error) {
  // esbuild has printed its own findings.
  if (!(error instanceof Error && "errors" in error)) throw error;
  process.exitCode = 1;
} finally {
  rmSync(temp, { recursive: true, force: true });
}

/** Where the packages are: those of a development checkout, else those that bin/bot-bottle brought. */
function findModules(): string {
  for (const home of [root, join(root, ".tools")]) {
    if (existsSync(join(home, "node_modules/esbuild"))) return join(home, "node_modules");
  }
  return stop("esbuild is missing", "bin/bot-bottle --version, which brings it, or npm install");
}

/** A Node that is too old for what it builds could not run it afterwards. */
function refuseOldNode(): void {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  if (major * 100 + minor >= 2402) return;
  stop(
    `this is Node ${process.versions.node}; 24.2 or newer is needed`,
    "it again with a newer Node",
  );
}

function stop(what: string, remedy: string): never {
  console.error(`build: ${what}\nhint: run ${remedy}`);
  process.exit(1);
}

/** The entries that exist, for esbuild. */
function existing(entries: Record<string, string>): { entryPoints: Record<string, string> } {
  const found = Object.entries(entries).filter(([name, file]) => {
    const isThere = existsSync(join(root, file));
    if (!isThere) console.error(`build: ${name}: no ${file} yet, skipped`);
    return isThere;
  });
  return { entryPoints: Object.fromEntries(found) };
}

async function bundle(
  options: BuildOptions & { entryPoints: Record<string, string> },
): Promise<Pick<Metafile, "inputs">> {
  if (Object.keys(options.entryPoints).length === 0) return { inputs: {} };
  const { metafile } = await build({
    absWorkingDir: root,
    outdir: temp,
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node24",
    minifyWhitespace: true,
    minifySyntax: true,
    legalComments: "external",
    logLevel: "warning",
    nodePaths: [join(root, ".tools/node_modules")],
    plugins: [builtins],
    banner: { js: '"use strict";const __builtin=globalThis.process.getBuiltinModule;' },
    // The build for Node is CommonJS: slower to load, and it calls require.
    alias: { yaml: join(modules, "yaml/browser/index.js") },
    ...options,
    metafile: true,
  });
  return metafile;
}

function markExecutable(file: string): void {
  const text = readFileSync(file, "utf8");
  if (!text.startsWith("#!")) writeFileSync(file, `#!/usr/bin/env node\n${text}`);
  chmodSync(file, 0o755);
}

/** The licence of every package whose code is in dist/. */
function licences(metafiles: readonly Pick<Metafile, "inputs">[]): string {
  const folders = new Set<string>();
  for (const input of metafiles.flatMap((it) => Object.keys(it.inputs))) {
    const folder = /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(input)?.[0];
    if (folder) folders.add(folder);
  }
  const parts = [...folders].sort().map((folder) => {
    const path = join(root, folder);
    const file = readdirSync(path).find((it) => /^licen[cs]e/i.test(it));
    const version = /"version":\s*"([^"]+)"/.exec(readFileSync(join(path, "package.json"), "utf8"));
    const title = `${folder.replace(/^.*node_modules\//, "")} ${version?.[1] ?? ""}`;
    if (file === undefined) throw new Error(`${folder} has no licence file`);
    return `${title}\n\n${readFileSync(join(path, file), "utf8").trim()}\n`;
  });
  return `${parts.join(`\n${"-".repeat(80)}\n\n`)}\n`;
}

function emitTypes(): void {
  const config = join(temp, "tsconfig.json");
  const compilerOptions = {
    noEmit: false,
    emitDeclarationOnly: true,
    outDir: "./types",
    rootDir: "../../src",
  };
  const exclude = ["../../src/**/*.test.ts", "../../src/**/*.test.tsx"];
  const extend = {
    extends: "../../tsconfig.json",
    include: ["../../src"],
    exclude,
    compilerOptions,
  };
  writeFileSync(config, JSON.stringify(extend));
  const tsc = createRequire(join(root, "package.json")).resolve("typescript/package.json");
  execFileSync(process.execPath, [join(dirname(tsc), "bin/tsc"), "-p", config], {
    stdio: ["ignore", 2, 2],
  });
  rmSync(config);
  freeTypes(join(temp, "types"));
}

/** Leaves the declarations that the exports lead to, and makes them stand without the packages that are bundled. */
function freeTypes(types: string): void {
  const reached = new Set<string>();
  const visit = (file: string): void => {
    if (reached.has(file)) return;
    reached.add(file);
    const text = readFileSync(file, "utf8");
    for (const [, path = ""] of text.matchAll(/(?:from |import\()"(\.[^"]+)"/g)) {
      visit(join(dirname(file), path.replace(/\.ts$/, ".d.ts")));
    }
    const zod = relative(dirname(file), join(types, "zod-mini.ts"));
    const own = text.replaceAll('"zod/mini"', `"${zod.startsWith(".") ? zod : `./${zod}`}"`);
    const foreign = /(?:from |import\()"(?!\.|node:)([^"]+)"/.exec(own)?.[1];
    if (foreign !== undefined) throw new Error(`${file} needs the types of ${foreign}`);
    writeFileSync(file, own);
  };
  for (const entry of ["index.d.ts", "testing/index.d.ts"]) visit(join(types, entry));
  for (const file of readdirSync(types, { recursive: true, encoding: "utf8" })) {
    const path = join(types, file);
    if (statSync(path).isFile() && !reached.has(path)) rmSync(path);
  }
  copyFileSync(join(root, "scripts/build/zod-mini.d.ts"), join(types, "zod-mini.d.ts"));
}

/** Moves every file of the new build into dist/, removes what it no longer has, and stamps it. */
function publish(): void {
  const files = readdirSync(temp, { recursive: true, encoding: "utf8" })
    .filter((it) => statSync(join(temp, it)).isFile())
    .sort((a, b) => Number(b.includes("/")) - Number(a.includes("/")));
  for (const file of files) {
    mkdirSync(dirname(join(dist, file)), { recursive: true });
    renameSync(join(temp, file), join(dist, file));
  }
  const now = new Set([...files, ".stamp"]);
  for (const file of readdirSync(dist, { recursive: true, encoding: "utf8" })) {
    const path = join(dist, file);
    const info = statSync(path);
    const isYoungChunk = file.startsWith("chunks/") && Date.now() - info.mtimeMs < KEEP_CHUNKS_MS;
    const isKept = now.has(file) || (!withTypes && (isYoungChunk || file.startsWith("types/")));
    if (info.isFile() && !isKept) rmSync(path);
  }
  writeFileSync(join(dist, ".stamp"), "");
  // What was edited while building is newer than the stamp and is built next time.
  utimesSync(join(dist, ".stamp"), started, started);
  console.error(`build: ${files.length} files in ${relative(root, dist)}/`);
}
