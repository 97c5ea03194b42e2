/** Parts of HTTP requests that rules and credentials name. What could split a request or widen a rule is refused. */
import { normalisePath } from "../policy/path.ts";
import { compilePattern } from "../policy/pattern/compile.ts";
import {
  type Refused,
  refuseBasicUser,
  refuseHeaderName,
  refuseMethod,
  refuseQueryName,
} from "../policy/request-names.ts";
import { fault, hasControl, ok, type Parsed } from "./parsed.ts";
import type { HeaderMatchSpec, PathMatchSpec } from "./types.ts";

/** Longest pattern: it is compiled once per bundle and matched against each request. */
const MAX_PATTERN = 1000;

/** Parses the name of a header. */
export function parseHeaderName(text: string): Parsed<string> {
  return unless(refuseHeaderName(text), text);
}

function unless(refused: Refused | undefined, value: string): Parsed<string> {
  return refused === undefined ? ok(value) : fault(refused.seen, refused.expected);
}

/** Parses the value a header is compared with. */
export function parseHeaderValue(text: string): Parsed<string> {
  if (hasControl(text) || text.length > MAX_PATTERN)
    return fault("is not a header's value", "one line of text");
  return ok(text);
}

/** Parses a method; methods are upper case. */
export function parseMethod(text: string): Parsed<string> {
  return unless(refuseMethod(text), text.toUpperCase());
}

/** Parses the user of basic authentication. */
export function parseBasicUser(text: string): Parsed<string> {
  return unless(refuseBasicUser(text), text);
}

/** Parses the name of a query field. */
export function parseQueryName(text: string): Parsed<string> {
  return unless(refuseQueryName(text), text);
}

/** Parses a JSON pointer (RFC 6901) to a field. */
export function parsePointer(text: string): Parsed<string> {
  if (text.length <= 256 && /^(?:\/(?:[^~/]|~[01])*)+$/.test(text) && !hasControl(text))
    return ok(text);
  return fault("is not a JSON pointer", "a pointer such as /auth/key");
}

/** Parses one argument of a command. */
export function parseArgument(text: string): Parsed<string> {
  return text.includes("\0") ? fault("holds a NUL byte", "text") : ok(text);
}

/** Parses a path rule. The value is kept as requests are compared: in normal form, or as a pattern that runs in linear time. */
export function parsePathMatch(input: {
  readonly type?: PathMatchSpec["type"] | undefined;
  readonly value: string;
}): Parsed<PathMatchSpec> {
  const { type = "prefix", value } = input;
  if (value.length > MAX_PATTERN || hasControl(value))
    return fault("is too long or has a control character", "a path");
  if (type === "regex") return parsePattern(type, value);
  if (!value.startsWith("/"))
    return fault("has a value that is not a path", 'a value that starts with "/"');
  if (/[?#]/.test(value) && type !== "glob") {
    return fault("has a value with a query", "a path without query");
  }
  if (value.split("/").some((part) => part === "." || part === "..")) {
    return fault("has a value with a dot segment", "a normalised path");
  }
  return type === "glob" ? parsePattern(type, value) : parsePlainPath(type, value);
}

/** A value that no request could ever equal would look like a rule and be none. */
function parsePlainPath(type: "exact" | "prefix", value: string): Parsed<PathMatchSpec> {
  const normal = normalisePath(value);
  if (normal.ok) return ok({ type, value: normal.path });
  return fault(
    `has a value that no request has: ${normal.reason}`,
    "a path as requests have it, escaped where needed",
  );
}

function parsePattern(type: "glob" | "regex", value: string): Parsed<PathMatchSpec> {
  const compiled = compilePattern(type, value);
  if (compiled.ok) return ok({ type, value });
  const expected = type === "glob" ? "a glob of *, ** and ?" : LINEAR;
  return fault(`has a value that ${compiled.reason}`, expected);
}

/** Parses a header rule. */
export function parseHeaderMatch(input: {
  readonly name: string;
  readonly value: string;
  readonly type?: HeaderMatchSpec["type"] | undefined;
}): Parsed<HeaderMatchSpec> {
  const { name, value, type = "exact" } = input;
  const compiled = type === "regex" ? compilePattern(type, value) : undefined;
  if (compiled === undefined || compiled.ok) return ok({ name, value, type });
  return fault(`has a value that ${compiled.reason}`, LINEAR);
}

const LINEAR = "a linear-time regular expression";
