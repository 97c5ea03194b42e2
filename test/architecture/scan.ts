// Reads source trees for the architecture tests: which modules a file imports, and how.
import { readdirSync, readFileSync } from "node:fs";
import { join, posix, relative } from "node:path";

/** Paths relative to the tree's root, with their text. */
export type Tree = ReadonlyMap<string, string>;

/** One import statement; `target` is a path in the tree without `.ts`, or a package's name. */
export type Import = {
  readonly kind: "static" | "type" | "dynamic";
  readonly specifier: string;
  readonly target: string;
};

/** What a checker found; printed as it is. */
export type Violation = {
  readonly rule: string;
  readonly file: string;
  readonly found: string;
  readonly instead: string;
};

/** One violation a line, for an assertion's message. */
export const printed = (found: readonly Violation[]): string =>
  found.map((it) => `${it.rule}: ${it.file}: ${it.found}; ${it.instead}`).join("\n");

/** The files below a folder whose name matches, without the folders that are never ours. */
export function readTree(root: string, name: RegExp): Map<string, string> {
  const tree = new Map<string, string>();
  const walk = (folder: string): void => {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) {
        if (!/^(node_modules|dist|coverage|fixtures|\.git|\.tools|dist\..*)$/.test(entry.name))
          walk(path);
      } else if (entry.isFile() && name.test(entry.name)) {
        tree.set(relative(root, path), readFileSync(path, "utf8"));
      }
    }
  };
  walk(root);
  return tree;
}

/** The text without comments that stand on lines of their own. */
export const withoutComments = (text: string): string =>
  text.replace(/^\s*\/\*[\s\S]*?\*\//gm, "").replace(/^\s*\/\/.*$/gm, "");

const STATEMENT =
  /^\s*(?:import|export)\s+(?<type>type\s)?[^;"'`=()]*?\bfrom\s*["'](?<name>[^"']+)["']/gm;
const BARE = /^\s*import\s*["'](?<name>[^"']+)["']/gm;
const CALL = /\bimport\(\s*(?:["'`](?<name>[^"'`]+)["'`])?/g;

/** Every import of one file, type-only and dynamic ones included. */
export function importsOf(file: string, text: string): Import[] {
  const source = withoutComments(text);
  const found: Import[] = [];
  for (const [pattern, kind] of [
    [STATEMENT, "static"],
    [BARE, "static"],
    [CALL, "dynamic"],
  ] as const) {
    for (const { groups } of source.matchAll(pattern)) {
      const specifier = groups?.["name"] ?? "(computed)";
      const isLocal = specifier.startsWith(".");
      const target = isLocal
        ? posix.join(posix.dirname(file), specifier).replace(/\.tsx?$/, "")
        : specifier;
      found.push({ kind: groups?.["type"] ? "type" : kind, specifier, target });
    }
  }
  return found;
}
