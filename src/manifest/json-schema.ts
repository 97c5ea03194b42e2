/** The manifest schemas as JSON Schema, for editors, and as rows for the reference page. Made from the schemas themselves. */
import * as z from "zod/mini";
import { fieldDocs } from "./fields.ts";
import { agentSchema } from "./schema-agent.ts";
import { bottleSchema } from "./schema-bottle.ts";

/** A JSON Schema, draft 2020-12. */
export type JsonSchema = Readonly<Record<string, unknown>>;

/** JSON Schema of a bottle file's front matter. */
export function bottleJsonSchema(): JsonSchema {
  return render(bottleSchema, "Front matter of a bottle file of bot-bottle");
}

/** JSON Schema of an agent file's front matter. */
export function agentJsonSchema(): JsonSchema {
  return render(agentSchema, "Front matter of an agent file of bot-bottle");
}

function render(schema: z.ZodMiniType, title: string): JsonSchema {
  const { $schema, ...rest } = z.toJSONSchema(schema, {
    io: "input",
    // Not as `metadata`: examples and defaults of a parsed text would be left out.
    override: ({ zodSchema, jsonSchema }) => {
      Object.assign(jsonSchema, fieldDocs.get(zodSchema));
    },
  });
  return { $schema, title, ...rest };
}

/** One row of the reference page. */
export interface FieldRow {
  /** Path of the key: `egress.routes[].host`. */
  readonly path: string;
  readonly type: string;
  readonly isRequired: boolean;
  readonly description: string;
  readonly byDefault: string | undefined;
  readonly example: string | undefined;
}

/** All fields of a JSON Schema, parents before their parts. */
export function listFields(schema: JsonSchema): readonly FieldRow[] {
  const rows = new Map<string, FieldRow>();
  collect(schema, "", rows);
  return [...rows.values()];
}

function isSchema(value: unknown): value is JsonSchema {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function schemasOf(value: unknown): readonly JsonSchema[] {
  return Array.isArray(value) ? value.filter(isSchema) : [];
}

function branches(schema: JsonSchema): readonly JsonSchema[] {
  return [...schemasOf(schema["anyOf"]), ...schemasOf(schema["oneOf"])];
}

function collect(schema: JsonSchema, path: string, rows: Map<string, FieldRow>): void {
  const { properties, items, required, additionalProperties } = schema;
  for (const [key, child] of Object.entries(isSchema(properties) ? properties : {})) {
    if (!isSchema(child)) continue;
    const own = path === "" ? key : `${path}.${key}`;
    const isRequired = Array.isArray(required) && required.includes(key);
    addRow(child, { path: own, isRequired }, rows);
    collect(child, own, rows);
  }
  if (isSchema(items)) collect(items, `${path}[]`, rows);
  if (isSchema(additionalProperties)) collect(additionalProperties, `${path}.NAME`, rows);
  for (const branch of branches(schema)) collect(branch, path, rows);
}

/** A key of several branches is one row: its words are joined where they differ. */
function addRow(
  child: JsonSchema,
  at: { readonly path: string; readonly isRequired: boolean },
  rows: Map<string, FieldRow>,
): void {
  const before = rows.get(at.path);
  const text = (key: string): string | undefined =>
    child[key] === undefined ? undefined : JSON.stringify(child[key]);
  const { description: words, examples } = child;
  const description = typeof words === "string" ? words : "";
  rows.set(at.path, {
    ...at,
    isRequired: at.isRequired && before?.isRequired !== false,
    type: join(before?.type, typeOf(child), ", "),
    description: join(before?.description, description, " "),
    byDefault: before?.byDefault ?? text("default"),
    example:
      before?.example ??
      (Array.isArray(examples) && examples.length > 0 ? JSON.stringify(examples[0]) : undefined),
  });
}

function join(before: string | undefined, now: string, by: string): string {
  if (before === undefined || before === now) return now;
  return before.split(by).includes(now) || before.includes(now) ? before : `${before}${by}${now}`;
}

const TYPES: Readonly<Record<string, string>> = {
  string: "text",
  integer: "whole number",
  number: "number",
  boolean: "true or false",
  object: "map",
};

function typeOf(schema: JsonSchema): string {
  const { const: only, enum: values, items, type } = schema;
  if (only !== undefined) return literal(only);
  if (Array.isArray(values)) return values.map(literal).join(", ");
  if (type === "array") return `list of ${isSchema(items) ? typeOf(items) : "anything"}`;
  if (typeof type === "string") return TYPES[type] ?? type;
  if (Array.isArray(type)) return type.map((it) => TYPES[String(it)] ?? String(it)).join(" or ");
  const parts = [...new Set(branches(schema).map(typeOf))];
  return parts.length === 0 ? "anything" : parts.join(" or ");
}

function literal(value: unknown): string {
  return `\`${typeof value === "string" ? value : JSON.stringify(value)}\``;
}
