/**
 * Reads a YAML block (1.2, core schema) as plain data and remembers where each key and value stood. Anchors, aliases, tags
 * and directives are refused, duplicate keys are faults, and depth and size are bounded. The parser's own messages are not
 * used, because they may quote the text.
 */
import {
  isAlias,
  isMap,
  isPair,
  isScalar,
  isSeq,
  type Node,
  parseDocument,
  type YAMLError,
  type YAMLMap,
} from "yaml";
import type { Fault, FaultPath } from "./issues.ts";

/** Deepest nesting; the schema needs nine levels. */
export const MAX_DEPTH = 24;
/** Most syntax faults that are reported of one file. */
const MAX_SYNTAX_FAULTS = 10;

/** Offsets of a key and of its value, relative to the YAML text. */
interface Place {
  readonly key: number;
  readonly value: number;
}

/** A YAML block as data. */
export interface YamlTree {
  readonly value: unknown;
  /** Offset of the key or value at a path, or of the nearest parent that stands in the text. */
  locate(path: FaultPath, at: "key" | "value"): number;
}

/** What the block says, with what is wrong in its form; `tree` is undefined when the text is not YAML. */
export interface YamlResult {
  readonly tree: YamlTree | undefined;
  readonly faults: readonly Fault[];
  /** Faults of syntax: offset in the text and message. */
  readonly syntax: readonly { readonly offset: number; readonly message: string }[];
}

interface Walk {
  readonly places: Map<string, Place>;
  readonly faults: Fault[];
}

const SYNTAX: Readonly<Record<string, string>> = {
  BAD_DQ_ESCAPE:
    'a double-quoted text has an unknown escape; \\\\, \\", \\n or \\uXXXX is expected',
  BAD_INDENT: "the indentation does not fit; keys of one map must start in one column",
  BAD_SCALAR_START: "a plain text starts with a reserved character; put the text in quotes",
  BLOCK_AS_IMPLICIT_KEY: 'a value holds a second ": "; put the text in quotes',
  BLOCK_IN_FLOW: "a block stands inside brackets; write it as {…} or […]",
  DUPLICATE_KEY: "a key is given twice",
  KEY_OVER_1024_CHARS: "a key is longer than 1024 characters",
  MISSING_CHAR: "a quote, bracket, comma or colon is missing",
  MULTILINE_IMPLICIT_KEY: "a key spans lines; a colon is missing",
  MULTIPLE_DOCS: "a second YAML document begins; one is expected",
  NON_STRING_KEY: "a key is not text",
  RESOURCE_EXHAUSTION: `the nesting is deeper than ${MAX_DEPTH} levels`,
  TAB_AS_INDENT: "a tab is used as indentation; spaces are expected",
  BAD_DIRECTIVE: "a line starts with %; directives are not accepted",
  BAD_ALIAS: "an alias is used; anchors and aliases are not accepted: write the value out",
  ALIAS_PROPS: "an alias is used; anchors and aliases are not accepted: write the value out",
  TAG_RESOLVE_FAILED: "a tag is used; tags are not accepted",
  MULTIPLE_TAGS: "a tag is used; tags are not accepted",
  MULTIPLE_ANCHORS: "an anchor is used; anchors and aliases are not accepted",
};

/** Parses the YAML block. */
export function parseYaml(text: string): YamlResult {
  const document = parseDocument(text, {
    version: "1.2",
    schema: "core",
    merge: false,
    resolveKnownTags: false,
    stringKeys: true,
    strict: true,
    // Checked in `readMap` in linear time.
    uniqueKeys: false,
    prettyErrors: false,
    logLevel: "silent",
  });
  const problems = [...document.errors, ...document.warnings];
  const syntax = syntaxFaults(problems, text, document.contents).slice(0, MAX_SYNTAX_FAULTS);
  if (syntax.length > 0) return { tree: undefined, faults: [], syntax };
  const walk: Walk = { places: new Map([["[]", { key: 0, value: 0 }]]), faults: [] };
  const value = document.contents === null ? {} : readNode(document.contents, [], walk);
  return {
    tree: { value, locate: (path, at) => locate(walk, path, at) },
    faults: walk.faults,
    syntax,
  };
}

/** One bracket that is open leaves those around it open, too: the first is told, and looked for once. */
function syntaxFaults(
  problems: readonly YAMLError[],
  text: string,
  root: Node | null,
): YamlResult["syntax"] {
  const faults: { readonly offset: number; readonly message: string }[] = [];
  let isUnclosedTold = false;
  for (const problem of problems) {
    const [offset] = problem.pos;
    const isUnclosed = isOpenFlow(problem);
    if (isUnclosed && isUnclosedTold) continue;
    isUnclosedTold ||= isUnclosed;
    const open = isUnclosed && root !== null ? lastUnclosed(root, offset, text) : undefined;
    const message =
      SYNTAX[problem.code] ?? "this is not YAML; a key followed by a colon is expected";
    faults.push(open === undefined ? { offset, message } : unclosedFault(open, text));
  }
  return faults;
}

/** The parser has no code of its own for a bracket that is not closed. */
function isOpenFlow(problem: YAMLError): boolean {
  return problem.code === "BAD_INDENT" && problem.message.startsWith("Flow ");
}

/** What never closed is found where the next thing begins; its own place is the one to edit. */
function unclosedFault(offset: number, text: string): { offset: number; message: string } {
  const bracket = text[offset] ?? "";
  const end = bracket === "{" ? "}" : "]";
  return { offset, message: `a "${bracket}" is not closed; "${end}" is expected` };
}

/** Offset of the last bracket before `limit` that has no end. */
function lastUnclosed(node: Node, limit: number, text: string): number | undefined {
  if (!isMap(node) && !isSeq(node)) return undefined;
  const children = node.items.flatMap((item) => (isPair(item) ? [item.key, item.value] : [item]));
  for (const child of children.reverse()) {
    const found = isNode(child) ? lastUnclosed(child, limit, text) : undefined;
    if (found !== undefined) return found;
  }
  const [start, end] = node.range ?? [limit, limit];
  const isClosed = end > start + 1 && text[end - 1] === (text[start] === "{" ? "}" : "]");
  return node.flow === true && start < limit && !isClosed ? start : undefined;
}

function locate(walk: Walk, path: FaultPath, at: "key" | "value"): number {
  const own = walk.places.get(JSON.stringify(path));
  if (own !== undefined) return own[at];
  for (let length = path.length - 1; length >= 0; length--) {
    const parent = walk.places.get(JSON.stringify(path.slice(0, length)));
    if (parent !== undefined) return parent.key;
  }
  return 0;
}

function readNode(node: Node, path: FaultPath, walk: Walk): unknown {
  const refuse = (predicate: string): null => {
    walk.faults.push({ path, at: "value", predicate, hint: undefined });
    return null;
  };
  if (path.length > MAX_DEPTH) return refuse(`is nested deeper than ${MAX_DEPTH} levels`);
  if (isAlias(node)) return refuse("is an alias; aliases are not accepted: write the value out");
  if (node.anchor !== undefined) refuse("has an anchor; anchors are not accepted");
  if (node.tag !== undefined) refuse("has a tag; tags are not accepted");
  if (isMap(node)) return readMap(node, path, walk);
  if (isSeq(node)) {
    return node.items.map((item, index) =>
      readPart(item, { path: [...path, index], key: offsetOf(item) }, walk),
    );
  }
  return isScalar(node) ? node.value : null;
}

function readMap(node: YAMLMap, path: FaultPath, walk: Walk): unknown {
  const data: Record<string, unknown> = {};
  for (const pair of node.items) {
    const key = isScalar(pair.key) ? pair.key.value : undefined;
    const at = offsetOf(pair.key);
    if (typeof key !== "string" || key === "__proto__") {
      walk.faults.push({
        path,
        at: "key",
        offset: at,
        predicate: "has a key that is not a name",
        hint: undefined,
      });
      continue;
    }
    const own = [...path, key];
    if (Object.hasOwn(data, key)) {
      walk.faults.push({
        path: own,
        at: "key",
        offset: at,
        predicate: "is given twice",
        hint: undefined,
      });
      continue;
    }
    data[key] = readPart(pair.value, { path: own, key: at }, walk);
  }
  return data;
}

function readPart(
  item: unknown,
  own: { path: FaultPath; key: number | undefined },
  walk: Walk,
): unknown {
  const value = offsetOf(item) ?? own.key ?? 0;
  walk.places.set(JSON.stringify(own.path), { key: own.key ?? value, value });
  return isNode(item) ? readNode(item, own.path, walk) : null;
}

function isNode(item: unknown): item is Node {
  return isAlias(item) || isScalar(item) || isMap(item) || isSeq(item);
}

function offsetOf(item: unknown): number | undefined {
  return isNode(item) ? item.range?.[0] : undefined;
}
