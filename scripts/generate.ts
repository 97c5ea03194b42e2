// Writes the files that are made from the sources: `node scripts/generate.ts [--check]`.
// `--check` writes nothing and fails when one is not current. A new generated file is one line in GENERATORS.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { renderCliPage } from "../src/cli/render-docs.ts";
import { agentJsonSchema, bottleJsonSchema } from "../src/manifest/json-schema.ts";
import { renderErrorsPage } from "./generate/errors-page.ts";
import { renderManifestPage } from "./generate/manifest-page.ts";

/** One generated file: where it lies and what it must hold. */
type Generator = { readonly file: string; readonly render: () => string };

const json = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;

const cliPage = await renderCliPage();
const GENERATORS: readonly Generator[] = [
  { file: "schema/bottle.schema.json", render: () => json(bottleJsonSchema()) },
  { file: "schema/agent.schema.json", render: () => json(agentJsonSchema()) },
  { file: "docs/manifest.md", render: renderManifestPage },
  { file: "docs/errors.md", render: renderErrorsPage },
  { file: "docs/cli.md", render: () => cliPage },
];

const root = join(import.meta.dirname, "..");
const isCheck = process.argv.includes("--check");
const stale = GENERATORS.filter((it) => current(it.file) !== it.render());

for (const { file, render } of isCheck ? [] : stale) {
  mkdirSync(dirname(join(root, file)), { recursive: true });
  writeFileSync(join(root, file), render());
  console.error(`generate: wrote ${file}`);
}
if (isCheck && stale.length > 0) {
  const files = stale.map((it) => it.file).join(", ");
  console.error(`generate: not current: ${files}; run node scripts/generate.ts`);
  process.exitCode = 1;
}

function current(file: string): string | undefined {
  try {
    return readFileSync(join(root, file), "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
}
