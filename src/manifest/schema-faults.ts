/** Turns the schema library's issues into faults in our grammar: path, what was seen, what is expected. */
import type * as z from "zod/mini";
import { describeValue, type Fault, type FaultPath, unknownKey } from "./issues.ts";
import { nearest } from "./nearest.ts";

type SchemaIssue = z.core.$ZodIssue;

/** The text that a message has when nobody set one. */
const UNSET = "Invalid input";

const TYPES: Readonly<Record<string, string>> = {
  string: "text",
  number: "a number",
  int: "a whole number",
  boolean: "true or false",
  object: "a map",
  record: "a map",
  array: "a list",
};

/** Makes faults of everything that a schema found in `root`. */
export function schemaFaults(issues: readonly SchemaIssue[], root: unknown): readonly Fault[] {
  return issues.flatMap((issue) => faultsOf(issue, [], root));
}

function faultsOf(issue: SchemaIssue, base: FaultPath, root: unknown): readonly Fault[] {
  const path = [...base, ...plainPath(issue.path)];
  if (issue.code === "unrecognized_keys") {
    return issue.keys.map((key) => unknownKey(path, key, issue.message.split(" ")));
  }
  if (issue.code === "invalid_union") return unionFaults(issue, path, root);
  if (issue.code === "invalid_key") return [keyFault(issue, path)];
  return [valueFault(issue, path, root)];
}

function plainPath(path: readonly PropertyKey[]): FaultPath {
  return path.map((part) => (typeof part === "symbol" ? String(part) : part));
}

function valueAt(root: unknown, path: FaultPath): unknown {
  let value = root;
  for (const part of path) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, part))
      return undefined;
    value = Reflect.get(value, part);
  }
  return value;
}

/** A branch that accepts the value's type says more than the others; without one, what the branches expect is listed. */
function unionFaults(
  issue: z.core.$ZodIssueInvalidUnion,
  path: FaultPath,
  root: unknown,
): readonly Fault[] {
  const branches = issue.errors;
  const fitting = branches.find((branch) => !branch.some(isOfOtherType));
  if (fitting !== undefined) return fitting.flatMap((inner) => faultsOf(inner, path, root));
  const value = valueAt(root, path);
  const options: unknown = Reflect.get(issue, "options");
  const expected = Array.isArray(options)
    ? options.filter((it) => it !== undefined).map(String)
    : branches.flatMap((branch) => branch.filter(isOfOtherType).map(expectedOf));
  return [
    {
      path,
      at: "value",
      predicate: sentence(value, path, [...new Set(expected)]),
      hint: undefined,
    },
  ];
}

/** An issue about the whole value's type, not about a part of it. */
function isOfOtherType(issue: SchemaIssue): boolean {
  return (
    issue.path.length === 0 && (issue.code === "invalid_type" || issue.code === "invalid_value")
  );
}

/** `is "x"; a, b or c is expected`, with the nearest word where there is one. */
function sentence(value: unknown, path: FaultPath, expected: readonly string[]): string {
  const advice = typeof value === "string" ? nearest(value, expected) : undefined;
  const end = advice === undefined ? "" : `, did you mean ${advice}`;
  return `${describeValue(value, path)}; ${oneOf(expected)} is expected${end}`;
}

function oneOf(words: readonly string[]): string {
  return words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} or ${words.at(-1)}`;
}

function keyFault(issue: z.core.$ZodIssueInvalidKey, path: FaultPath): Fault {
  const [inner] = issue.issues;
  const { seen, hint } = paramsOf(inner);
  const predicate = `${seen ?? "is not a key"}; ${inner?.message ?? "another key"} is expected`;
  return { path, at: "key", predicate, hint };
}

function paramsOf(issue: SchemaIssue | undefined): { seen?: string; hint?: string } {
  const params = issue?.code === "custom" ? issue.params : undefined;
  const text = (key: string): string | undefined =>
    typeof params?.[key] === "string" ? params[key] : undefined;
  const seen = text("seen");
  const hint = text("hint");
  return { ...(seen !== undefined && { seen }), ...(hint !== undefined && { hint }) };
}

function valueFault(issue: SchemaIssue, path: FaultPath, root: unknown): Fault {
  const value = valueAt(root, path);
  if (issue.code === "custom") {
    const { seen, hint } = paramsOf(issue);
    const predicate = `${withReason(value, path, seen)}; ${issue.message} is expected`;
    return { path, at: "value", predicate, hint };
  }
  const hint =
    issue.code === "invalid_type" && issue.expected === "string" ? textHint(value) : undefined;
  return { path, at: "value", predicate: sentence(value, path, expectationsOf(issue)), hint };
}

/** YAML takes some plain words for something else than text. */
function textHint(value: unknown): string | undefined {
  if (value === null) return "give a text; a bare ~ or null needs quotes";
  if (typeof value === "number" || typeof value === "boolean") return "put the value in quotes";
  return undefined;
}

/** `is "x", which has a scheme`; without the value where it is not to be shown or is a map. */
function withReason(value: unknown, path: FaultPath, seen: string | undefined): string {
  const shown = describeValue(value, path);
  if (seen === undefined) return shown;
  return /^is (?:"|-?\d)/.test(shown) ? `${shown}, which ${seen}` : seen;
}

function expectationsOf(issue: SchemaIssue): readonly string[] {
  return issue.code === "invalid_value" ? issue.values.map(String) : [expectedOf(issue)];
}

/** What an issue expects, as the subject of "… is expected". */
function expectedOf(issue: SchemaIssue): string {
  if (issue.message !== UNSET) return issue.message;
  if (issue.code === "invalid_type") return TYPES[issue.expected] ?? "another value";
  if (issue.code === "invalid_value") return oneOf(issue.values.map(String));
  if (issue.code === "too_small") {
    const least = issue.inclusive === false ? "more than" : "at least";
    return `${least} ${issue.minimum}${unit(issue)}`;
  }
  if (issue.code === "too_big") return `at most ${issue.maximum}${unit(issue)}`;
  return "another value";
}

function unit(issue: z.core.$ZodIssueTooSmall | z.core.$ZodIssueTooBig): string {
  if (issue.origin !== "array") return "";
  return issue.code === "too_small" && issue.minimum === 1 ? " entry" : " entries";
}
