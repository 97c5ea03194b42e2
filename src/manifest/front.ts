/** The way from a manifest file's text to data that follows a schema, or to all faults at once. */
import type { Issue } from "../base/errors.ts";
import { splitFrontMatter } from "./frontmatter.ts";
import { type Fault, type FaultPath, toIssues } from "./issues.ts";
import type { Cleaned } from "./removed-keys.ts";
import { schemaFaults } from "./schema-faults.ts";
import { positions, type SourceFile } from "./source.ts";
import type { Provenance } from "./types.ts";
import { parseYaml } from "./yaml.ts";

/** How one kind of file is judged. */
export interface FrontRules<T> {
  /** Most characters of the YAML block. */
  readonly maxLength: number;
  /** Takes keys out that have an answer of their own. */
  clean(value: unknown): Cleaned;
  /** Faults between several values; it sees the data before the schema does, so it must expect anything. */
  compare(value: unknown): readonly Fault[];
  readonly schema: Schema<T>;
}

/** The part of a schema that is used here. */
interface Schema<T> {
  safeParse(value: unknown):
    | { readonly success: true; readonly data: T }
    | {
        readonly success: false;
        readonly error: { readonly issues: Parameters<typeof schemaFaults>[0] };
      };
}

/** What a file says: `data` is there when nothing is wrong, `raw` as soon as the text is YAML. */
export interface Front<T> {
  readonly data: T | undefined;
  readonly raw: unknown;
  readonly body: string;
  readonly issues: readonly Issue[];
  /** Where a key or value stands in the file. */
  place(path: FaultPath, at?: "key" | "value"): Provenance;
}

/** Control characters other than tab and line ends; a terminal would obey them. */
function firstControl(text: string): number {
  return text.search(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]/);
}

/** Reads a file's front matter. Never throws; everything that is wrong is among the issues. */
export function readFront<T>(source: SourceFile, rules: FrontRules<T>): Front<T> {
  const { file, text } = source;
  const positionOf = positions(text);
  const place = (offset: number): Provenance => ({ file, ...positionOf(offset) });
  const failed = (offset: number, message: string): Front<T> => {
    const at = place(offset);
    const issue = { ...at, path: "", message, hint: `edit ${file}:${at.line}` };
    return { data: undefined, raw: undefined, body: "", issues: [issue], place: () => place(0) };
  };
  const split = splitFrontMatter(text, rules.maxLength);
  if (split.kind === "fault") return failed(split.offset, split.message);
  const control = firstControl(split.yaml);
  if (control >= 0)
    return failed(split.offset + control, "the front matter has a control character");
  const { tree, faults: formFaults, syntax } = parseYaml(split.yaml);
  if (tree === undefined) {
    const issues = syntax.flatMap((it) => failed(split.offset + it.offset, it.message).issues);
    return { ...failed(0, ""), issues };
  }
  const locate = (path: FaultPath, at: "key" | "value"): Provenance =>
    place(split.offset + tree.locate(path, at));
  const cleaned = rules.clean(tree.value);
  const parsed = rules.schema.safeParse(cleaned.value);
  const faults = [
    ...formFaults,
    ...cleaned.faults,
    ...(parsed.success ? [] : schemaFaults(parsed.error.issues, cleaned.value)),
    ...rules.compare(cleaned.value),
  ];
  const issues = toIssues(faults, file, (fault) =>
    fault.offset === undefined
      ? locate(fault.path, fault.at)
      : positionOf(split.offset + fault.offset),
  );
  const data = parsed.success && issues.length === 0 ? parsed.data : undefined;
  return {
    data,
    raw: tree.value,
    body: split.body,
    issues,
    place: (path, at = "value") => locate(path, at),
  };
}
