/**
 * Reads a .dockerignore file as the docker command does: the last pattern that matches a path or a directory above it decides.
 * Matching takes time in proportion to pattern and path, whatever they hold. Pure.
 */

/** True for a path that stays out of the context. */
export type Ignore = (path: string) => boolean;

interface Rule {
  readonly isException: boolean;
  readonly tokens: readonly Token[];
}

/**
 * What one part of a pattern takes: `name` any characters of one name (`*`), `all` any characters (`**`), `directories` nothing
 * or whole directories (`**` and a slash), `one` a single character that `takes` accepts.
 */
type Token =
  | { readonly kind: "name" | "all" | "directories" }
  | { readonly kind: "one"; readonly takes: (character: string) => boolean };

/** The rule of a whole file. `always` are paths that no pattern leaves out. */
export function parseDockerignore(text: string, always: readonly string[]): Ignore {
  const rules = text.split("\n").flatMap((line) => parseRule(line) ?? []);
  const kept = new Set(always);
  return (path) => {
    if (kept.has(path)) return false;
    return rules.findLast((rule) => matches(rule.tokens, path))?.isException === false;
  };
}

/** Undefined for comments, empty lines, and a pattern that is none. */
function parseRule(line: string): Rule | undefined {
  const text = line.trim();
  if (text === "" || text.startsWith("#")) return undefined;
  const isException = text.startsWith("!");
  const pattern = cleaned(isException ? text.slice(1).trim() : text);
  if (pattern === "") return undefined;
  return { isException, tokens: tokensOf(pattern) };
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

function tokensOf(pattern: string): readonly Token[] {
  const parts = pattern.match(/(?:\*\*\/)+|\*\*|\*|\?|\[\^?[^\]/]+\]|\\.|./gsu) ?? [];
  return parts.map((part): Token => {
    if (part.startsWith("**/")) return { kind: "directories" };
    if (part === "**") return { kind: "all" };
    if (part === "*") return { kind: "name" };
    if (part === "?") return { kind: "one", takes: (it) => it !== "/" };
    if (part.length > 2 && part.startsWith("[")) return { kind: "one", takes: classOf(part) };
    const literal = part.length > 1 && part.startsWith("\\") ? part.slice(1) : part;
    return { kind: "one", takes: (it) => it === literal };
  });
}

/** `[a-z]`, `[^a-z]`; a slash is in none. */
function classOf(part: string): (character: string) => boolean {
  const isNegated = part.startsWith("[^");
  const ranges = part.slice(isNegated ? 2 : 1, -1).match(/.-.|./gsu) ?? [];
  const holds = (character: string): boolean =>
    ranges.some((range) => {
      const [from = "", dash, to] = range;
      return to === undefined || dash !== "-"
        ? character === from
        : from <= character && character <= to;
    });
  return (character) => character !== "/" && holds(character) !== isNegated;
}

/** Follows all places in the pattern at once, so that no path is tried twice. */
function matches(tokens: readonly Token[], path: string): boolean {
  let places = entered(tokens, 0);
  for (const character of path) {
    if (places.has(tokens.length) && character === "/") return true;
    const next = new Set<number>();
    for (const place of places) for (const it of step(tokens, place, character)) next.add(it);
    places = next;
  }
  return places.has(tokens.length);
}

/** The place itself and those behind it that are reached without a character. */
function entered(tokens: readonly Token[], place: number): Set<number> {
  const places = new Set([place]);
  for (let at = place; at < tokens.length && tokens[at]?.kind !== "one"; at += 1)
    places.add(at + 1);
  return places;
}

function step(tokens: readonly Token[], place: number, character: string): Iterable<number> {
  const token = tokens[place];
  if (token === undefined) return [];
  switch (token.kind) {
    case "one":
      return token.takes(character) ? entered(tokens, place + 1) : [];
    case "name":
      return character === "/" ? [] : entered(tokens, place);
    case "all":
      return entered(tokens, place);
    case "directories":
      // Left only behind a slash: what it takes are whole directories.
      return character === "/" ? [place, ...entered(tokens, place + 1)] : [place];
  }
}
