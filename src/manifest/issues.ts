/** Faults and how they become issues: position, path, value, nearest key. A value that may be a secret is never quoted. */
import { type Issue, ManifestError } from "../base/errors.ts";
import { nearest } from "./nearest.ts";
import type { Position } from "./source.ts";

/** Most faults that one error reports. */
export const MAX_ISSUES = 100;
/** Most faults of one file that are looked at: a hostile file has as many as it likes. */
const MAX_FAULTS = 1000;

/** Path of a key from the top of the front matter. */
export type FaultPath = readonly (string | number)[];

/** One fault before its position is looked up. */
export interface Fault {
  readonly path: FaultPath;
  /** Whether the key or its value is shown. */
  readonly at: "key" | "value";
  /** Offset in the YAML text, where it is not that of the path. */
  readonly offset?: number | undefined;
  /** Follows the path: "is 5; text is expected". */
  readonly predicate: string;
  readonly hint: string | undefined;
}

/** Keys whose values are never quoted: they hold a secret, or what an operator may take for its place. */
const QUIET = new Set([
  "env",
  "auth_token",
  "token_ref",
  "forge_token_env",
  "headers",
  "settings",
  "upstream_proxy",
  "url",
]);

/** Where values of a path may be quoted. */
function isQuiet(path: FaultPath): boolean {
  return path.some((part) => typeof part === "string" && QUIET.has(part));
}

const PLAIN_KEY = /^[A-Za-z_][\w-]{0,63}$/;

/** A path for people: `egress.routes[0].host`. */
export function renderPath(path: FaultPath): string {
  return path.reduce<string>((text, part) => {
    if (typeof part === "number") return `${text}[${part}]`;
    if (!PLAIN_KEY.test(part)) return `${text}[${quote(part)}]`;
    return text === "" ? part : `${text}.${part}`;
  }, "");
}

/** Text in quotes, bounded, with control characters escaped. */
export function quote(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text).replace(
    /[\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g,
    (it) => `\\u${it.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** A value as the subject's complement: `is "x"`, `is empty`, `is a list`; never its content where that may be a secret. */
export function describeValue(value: unknown, path: FaultPath): string {
  if (value === undefined) return "is missing";
  if (value === null || value === "") return "is empty";
  if (Array.isArray(value)) return "is a list";
  if (typeof value === "object") return "is a map";
  if (typeof value !== "string" && typeof value !== "number" && typeof value !== "boolean") {
    return "is unusable";
  }
  if (isQuiet(path)) return typeof value === "string" ? "is text" : `is a ${typeof value}`;
  return typeof value === "string" ? `is ${quote(value)}` : `is ${String(value)}`;
}

/** An unknown key with the nearest one that is known. */
export function unknownKey(path: FaultPath, key: string, known: readonly string[]): Fault {
  const own = [...path, key];
  const match = nearest(key, known);
  const advice =
    match === undefined
      ? `${known.join(", ")} ${known.length === 1 ? "is" : "are"} expected`
      : `did you mean ${renderPath([...path, match])}`;
  return { path: own, at: "key", predicate: `is not a key; ${advice}`, hint: undefined };
}

/** Makes issues of faults, in the order of the file; a fault that repeats another's place and path is left out. */
export function toIssues(
  faults: readonly Fault[],
  file: string,
  positionOf: (fault: Fault) => Position,
): readonly Issue[] {
  const seen = new Set<string>();
  const issues: Issue[] = [];
  for (const fault of faults.slice(0, MAX_FAULTS)) {
    const { line, column } = positionOf(fault);
    const path = renderPath(fault.path);
    const place = `${line}:${column} ${path}`;
    if (seen.has(place)) continue;
    seen.add(place);
    const message = `${path === "" ? "the front matter" : path} ${fault.predicate}`;
    issues.push({ file, line, column, path, message, hint: fault.hint ?? `edit ${file}:${line}` });
  }
  return issues.sort((a, b) => a.line - b.line || a.column - b.column);
}

/** The error that reports all issues at once. */
export function invalid(issues: readonly Issue[]): ManifestError {
  const kept = issues.slice(0, MAX_ISSUES);
  const lines = kept.map((it) => `${it.file}:${it.line}:${it.column}: ${it.message}`);
  const more = issues.length - kept.length;
  if (more > 0) lines.push(`and ${more} more`);
  const [only] = lines;
  const text =
    lines.length === 1 ? ` ${only}` : ` ${issues.length} faults\n  ${lines.join("\n  ")}`;
  return new ManifestError("manifest.invalid", `manifest invalid:${text}`, {
    hint: kept.length === 1 ? kept[0]?.hint : `edit ${kept[0]?.file}:${kept[0]?.line}`,
    issues: kept,
  });
}
