// Builds the project's images on the container engine ahead of the first bottle, and prints their names and ids:
// node scripts/images/build.ts [claude|codex|command|sidecars…]; none named: all. The settings are those of docs/images.md.
import { join } from "node:path";
import { BottleError } from "../../src/base/errors.ts";
import { parseHostPath } from "../../src/base/ids.ts";
import { openEngine } from "../../src/engine/engine.ts";
import type { ImagePorts, ResolvedImage } from "../../src/images/contract.ts";
import { ensureBundleImage, ensureImage } from "../../src/images/ensure-image.ts";

const ALL = ["command", "claude", "codex", "sidecars"];
const ENTRY = parseHostPath(join(import.meta.dirname, "../../dist/bundle.js"));

function ensure(name: string, ports: ImagePorts): Promise<ResolvedImage> {
  if (name === "sidecars") return ensureBundleImage(ENTRY, ports);
  const tag = `bot-bottle-${name}:latest`;
  return ensureImage({ kind: "provider", template: name, tag }, ports);
}

async function main(names: readonly string[]): Promise<void> {
  const unknown = names.find((name) => !ALL.includes(name));
  if (unknown !== undefined) throw new Error(`no image "${unknown}"; ${ALL.join(", ")} exist`);
  using engine = await openEngine(process.env);
  const onProgress = (line: string): void => console.error(`bot-bottle: ${line}`);
  const ports = { engine, env: process.env, signal: undefined, onProgress };
  for (const name of names) {
    const { reference, id } = await ensure(name, ports);
    console.log(`${reference} ${id}`);
  }
}

try {
  const named = process.argv.slice(2);
  await main(named.length === 0 ? ALL : named);
} catch (error) {
  console.error(`bot-bottle: ${error instanceof Error ? error.message : String(error)}`);
  if (error instanceof BottleError && error.hint !== undefined)
    console.error(`hint: ${error.hint}`);
  process.exitCode = 1;
}
