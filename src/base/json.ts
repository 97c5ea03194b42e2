/** The only place that calls JSON.parse; the result is `unknown` until a schema has judged it. */

/** Parses JSON text. Throws SyntaxError on malformed text. */
export function parseJson(text: string): unknown {
  return JSON.parse(text) as unknown;
}

/**
 * Parses JSON text so that writing it again gives every number as it stood. Throws SyntaxError on malformed text and RangeError
 * on one that is nested too deeply.
 */
export function parseJsonExactly(text: string): unknown {
  const raw: unknown = Reflect.get(JSON, "rawJSON");
  const keep = (_key: string, value: unknown, context?: { readonly source?: string }): unknown =>
    typeof value === "number" && typeof raw === "function" && context?.source !== undefined
      ? Reflect.apply(raw, JSON, [context.source])
      : value;
  return JSON.parse(text, keep) as unknown;
}
