/**
 * What a body says in other words: parts of a form with their transfer encodings undone, fields decoded, the strings of
 * JSON. Each is shown to the detectors beside the body itself. Invariant: what has more of it than is looked
 * at is said to be beyond the bounds.
 */
import { parseJson } from "../../base/json.ts";
import { packedAtStart } from "../../policy/dlp/packed.ts";
import type { ScanPolicy, ViewForm } from "../../policy/dlp/types.ts";
import { decodeQueryText } from "../../policy/query.ts";
import { type Part, partsOf } from "./multipart.ts";

/** Another form of a body. */
export interface DerivedView {
  readonly form: ViewForm;
  readonly bytes: Buffer;
}

/** Forms of a body, or why they cannot be had. */
export type DerivedViews = readonly DerivedView[] | "beyond-bounds";

/** Parts inside parts: a form of mixed files has two levels, and each level goes over the body once more. */
export const MAX_DEPTH = 3;

interface Source {
  readonly bytes: Buffer;
  readonly contentType: string;
  readonly depth: number;
}

/** Derives the forms that a detector does not undo itself. */
export function deriveViews(bytes: Buffer, contentType: string, policy: ScanPolicy): DerivedViews {
  const wants = (form: ViewForm): boolean =>
    policy.detectors.some((it) => it.undoes?.includes(form) !== true);
  return derive({ bytes, contentType, depth: 0 }, wants);
}

type Wants = (form: ViewForm) => boolean;

function derive(source: Source, wants: Wants): DerivedViews {
  const { bytes, contentType, depth } = source;
  const type = contentType.split(";")[0]?.trim().toLowerCase() ?? "";
  if (type.startsWith("multipart/")) return deriveParts(source, wants);
  const views: DerivedView[] = [];
  // What may be packed shows at the beginning of a view.
  if (depth > 0 && packedAtStart(bytes) !== undefined) views.push({ form: "part", bytes });
  if (wants("form") && type === "application/x-www-form-urlencoded") {
    views.push({ form: "form", bytes: Buffer.from(decodeQueryText(bytes.toString("latin1"))) });
  }
  if (wants("json") && /^[a-z]+\/(?:[a-z0-9.+-]*\+)?json$/.test(type)) {
    const text = stringsOf(bytes);
    if (text !== undefined) views.push({ form: "json", bytes: text });
  }
  return views;
}

function deriveParts(source: Source, wants: Wants): DerivedViews {
  const parts = partsOf(source.bytes, source.contentType);
  if (parts === "beyond-bounds" || source.depth >= MAX_DEPTH) return "beyond-bounds";
  const views: DerivedView[] = [];
  for (const part of parts) {
    if (wants("part") && part.isEncoded) views.push({ form: "part", bytes: part.bytes });
    const inner = derive(innerSource(part, source.depth), wants);
    if (inner === "beyond-bounds") return inner;
    views.push(...inner);
  }
  return views;
}

const innerSource = ({ bytes, contentType }: Part, depth: number): Source => ({
  bytes,
  contentType,
  depth: depth + 1,
});

/** All strings of a JSON text, one a line; undefined where it is none. */
function stringsOf(bytes: Buffer): Buffer | undefined {
  let value: unknown;
  try {
    value = parseJson(bytes.toString("utf8"));
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
  const found: string[] = [];
  const open: unknown[] = [value];
  // A list of what is still to look at, because hostile JSON is deeper than any stack.
  for (let next = open.pop(); next !== undefined || open.length > 0; next = open.pop()) {
    if (typeof next === "string") found.push(next);
    else if (typeof next === "object" && next !== null) {
      for (const [key, inner] of Object.entries(next)) {
        found.push(key);
        open.push(inner);
      }
    }
  }
  return Buffer.from(found.join("\n"));
}
