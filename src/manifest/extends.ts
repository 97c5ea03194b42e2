/** Resolves `extends`: parents first, folded left to right, then the bottle on top. Cycles and missing parents are issues. */
import type { Issue } from "../base/errors.ts";
import { quote } from "./issues.ts";
import type { BottleLayer } from "./layer.ts";
import { mergeBottles, mergeChild } from "./merge.ts";
import { nearest } from "./nearest.ts";
import type { ParentLink, ParsedBottle } from "./parse-bottle.ts";

/** Longest chain of `extends`. */
export const MAX_CHAIN = 32;

/** The bottle files that were read, and the names of all that exist. */
export interface BottleFiles {
  readonly parsed: ReadonlyMap<string, ParsedBottle>;
  readonly names: readonly string[];
}

/** A bottle with its ancestors, or what is wrong with any of them. */
export interface Resolved {
  readonly layer: BottleLayer | undefined;
  readonly issues: readonly Issue[];
}

interface Walk {
  readonly files: BottleFiles;
  readonly done: Map<string, BottleLayer | undefined>;
  readonly issues: Issue[];
}

/** Resolves several bottles that are used side by side; a fault in a shared file is reported once. */
export function resolveBottles(names: readonly string[], files: BottleFiles): Resolved {
  const walk: Walk = { files, done: new Map(), issues: [] };
  const layers = names.map((name) => resolve(name, [], walk));
  return { layer: walk.issues.length > 0 ? undefined : fold(layers), issues: walk.issues };
}

function fold(layers: readonly (BottleLayer | undefined)[]): BottleLayer | undefined {
  const [first, ...rest] = layers.filter((it) => it !== undefined);
  return first === undefined ? undefined : mergeBottles([first, ...rest]);
}

function resolve(name: string, chain: readonly string[], walk: Walk): BottleLayer | undefined {
  if (walk.done.has(name)) return walk.done.get(name);
  const bottle = walk.files.parsed.get(name);
  if (bottle === undefined) return undefined;
  walk.issues.push(...bottle.issues);
  const own = [...chain, name];
  const parents = bottle.parents.map((link) => {
    const problem = problemOf(link, own, walk.files);
    if (problem === undefined) return resolve(link.name, own, walk);
    walk.issues.push(issueAt(link, problem));
    return undefined;
  });
  const parent = fold(parents);
  const { layer } = bottle;
  const result = parent === undefined || layer === undefined ? layer : mergeChild(parent, layer);
  walk.done.set(name, result);
  return result;
}

function problemOf(
  link: ParentLink,
  chain: readonly string[],
  files: BottleFiles,
): string | undefined {
  if (link.name === chain.at(-1)) return `names the bottle itself; another bottle is expected`;
  const start = chain.indexOf(link.name);
  if (start >= 0) {
    return `leads in a circle: ${[...chain.slice(start), link.name].join(" → ")}; bottles without a circle are expected`;
  }
  if (chain.length >= MAX_CHAIN)
    return `makes a chain of more than ${MAX_CHAIN} bottles; fewer are expected`;
  if (files.parsed.has(link.name)) return undefined;
  const near = nearest(link.name, files.names);
  const advice =
    near === undefined ? "a file of that name under bottles/ is expected" : `did you mean ${near}`;
  return `is ${quote(link.name)}, which is not a bottle; ${advice}`;
}

function issueAt(link: ParentLink, predicate: string): Issue {
  const { file, line, column } = link.from;
  return {
    file,
    line,
    column,
    path: link.path,
    message: `${link.path} ${predicate}`,
    hint: `edit ${file}:${line}`,
  };
}
