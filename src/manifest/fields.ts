/**
 * Building blocks of the manifest schemas. Every field has a description, from which the JSON Schema and the reference page
 * are made. Messages of checks are what is expected; issues.ts puts the sentence together.
 */
import * as z from "zod/mini";
import type { Parsed } from "./parsed.ts";

/** What is written about a field, in the JSON Schema's own keywords. */
export interface FieldDoc {
  readonly description: string;
  readonly default?: unknown;
  readonly examples?: readonly unknown[];
  readonly pattern?: string;
}

/** Descriptions of all fields. */
export const fieldDocs: z.core.$ZodRegistry<FieldDoc> = z.registry<FieldDoc>();

/** Describes a field. The schema is copied, because one that several fields share has several descriptions. */
export function field<T extends z.core.$ZodType>(
  schema: T,
  description: string,
  more: Omit<FieldDoc, "description"> = {},
): T {
  const own = z.clone(schema);
  fieldDocs.add<z.core.$ZodType>(own, { description, ...more });
  return own;
}

/** An optional field with its description. */
export function option<T extends z.core.SomeType>(
  schema: T,
  description: string,
  more: Omit<FieldDoc, "description"> = {},
): z.ZodMiniOptional<T> {
  return field(z.optional(schema), description, more);
}

/** A map with exactly these keys. The message of an unknown key lists those that are known. */
export function keys<S extends z.core.$ZodShape>(shape: S): z.ZodMiniObject<S, z.core.$strict> {
  const known = Object.keys(shape).join(" ");
  return z.strictObject(shape, {
    error: (issue) => (issue.code === "unrecognized_keys" ? known : undefined),
  });
}

/** A text that a function of ours parses. */
export function parsedText<T>(parse: (text: string) => Parsed<T>): z.ZodMiniType<T, string> {
  return z.pipe(z.string(), parsed(parse));
}

/** The step of a schema in which a function of ours parses a value. */
export function parsed<I, T>(parse: (input: I) => Parsed<T>): z.ZodMiniTransform<T, I> {
  return z.transform<I, T>((input, context) => {
    const result = parse(input);
    if (result.kind === "ok") return result.value;
    const params = { seen: result.seen, hint: result.hint };
    context.issues.push({ code: "custom", input, message: result.expected, params });
    return z.NEVER;
  });
}

/** Characters a map's keys or a list may have at most; enough for every use, small enough to stay fast. */
export const MAX_ITEMS = 1000;

/** A list, bounded. */
export function list<T extends z.core.SomeType>(item: T): z.ZodMiniArray<T> {
  return z.array(item).check(z.maxLength(MAX_ITEMS));
}
