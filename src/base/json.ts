/** The only place that calls JSON.parse; the result is `unknown` until a schema has judged it. */

/** Parses JSON text. Throws SyntaxError on malformed text. */
export function parseJson(text: string): unknown {
  return JSON.parse(text) as unknown;
}
