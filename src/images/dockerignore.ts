/** Reads a .dockerignore file as the docker command does: the last pattern that matches a path or a directory above it decides. Pure. */

/** True for a path that stays out of the context. */
export type Ignore = (path: string) => boolean;

interface Rule {
  readonly isException: boolean;
  readonly matches: RegExp;
}

/** The rule of a whole file. `always` are paths that no pattern leaves out. */
export function parseDockerignore(text: string, always: readonly string[]): Ignore {
  const rules = text.split("\n").flatMap((line) => parseRule(line) ?? []);
  const kept = new Set(always);
  return (path) => {
    if (kept.has(path)) return false;
    return rules.findLast((rule) => rule.matches.test(path))?.isException === false;
  };
}

/** Undefined for comments, empty lines, and a pattern that is none. */
function parseRule(line: string): Rule | undefined {
  const text = line.trim();
  if (text === "" || text.startsWith("#")) return undefined;
  const isException = text.startsWith("!");
  const pattern = cleaned(isException ? text.slice(1).trim() : text);
  if (pattern === "") return undefined;
  return { isException, matches: new RegExp(`^${translate(pattern)}(?:/|$)`, "su") };
}

/** Without leading and trailing slashes and without `.` and `..`, as Go cleans paths. */
function cleaned(pattern: string): string {
  const parts: string[] = [];
  for (const part of pattern.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return parts.join("/");
}

/** `**` is any number of directories, `*` and `?` stay within one name, `[…]` is a class, `\` takes the next as it is. */
function translate(pattern: string): string {
  const token = /\*\*\/?|\*|\?|\[\^?[^\]/]+\]|\\.|./gsu;
  return pattern.replace(token, (part) => {
    if (part === "**/") return "(?:.*/)?";
    if (part === "**") return ".*";
    if (part === "*") return "[^/]*";
    if (part === "?") return "[^/]";
    if (part.length > 2 && part.startsWith("[")) return classOf(part);
    const literal = part.length > 1 && part.startsWith("\\") ? part.slice(1) : part;
    return literal.replace(/[\\^$.*+?()[\]{}|/]/u, "\\$&");
  });
}

function classOf(part: string): string {
  const isNegated = part.startsWith("[^");
  const members = part.slice(isNegated ? 2 : 1, -1).replaceAll(/[\\[\]&]/gu, "\\$&");
  return `[${isNegated ? "^/" : ""}${members}]`;
}
