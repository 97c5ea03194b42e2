// Turns imports of Node's own modules into process.getBuiltinModule in what is built. An import statement
// evaluates every lazy export of such a module (the streams of fs, the client of http), which
// is most of the start-up time of a small program; type stripping of the sources does not need it.
import { readFileSync } from "node:fs";
import type { Plugin } from "esbuild";

/** Our sources and the packages whose code runs at start. */
const LOADED_AT_START = /[/\\](?:src[/\\].*\.ts|node_modules[/\\]commander[/\\].*\.js)$/;
const IMPORT = /^import\s+([^"';]+?)\s+from\s+["'](node:[^"']+)["'];?/gm;

/** The esbuild plugin. Whoever uses it defines `__builtin` in the banner. */
export const builtins: Plugin = {
  name: "builtins",
  setup: (build) => {
    build.onLoad({ filter: LOADED_AT_START }, ({ path }) => ({
      contents: readFileSync(path, "utf8").replace(IMPORT, rewrite),
      loader: path.endsWith(".ts") ? "ts" : "js",
    }));
  },
};

/** One statement; what imports only types stays, and esbuild drops it. */
function rewrite(whole: string, clause: string, name: string): string {
  if (clause.startsWith("type ")) return whole;
  const module = `__builtin(${JSON.stringify(name)})`;
  const named = /\{([^}]*)\}/s.exec(clause)?.[1];
  const rest = clause.replace(/,?\s*\{[^}]*\}/s, "").trim();
  const values = (named ?? "")
    .split(",")
    .map((it) => it.trim())
    .filter((it) => it !== "" && !it.startsWith("type "))
    .map((it) => it.replace(/\s+as\s+/, ": "));
  return [
    ...(rest === "" ? [] : [`const ${rest.replace(/^\*\s+as\s+/, "")} = ${module};`]),
    ...(values.length === 0 ? [] : [`const { ${values.join(", ")} } = ${module};`]),
  ].join(" ");
}
