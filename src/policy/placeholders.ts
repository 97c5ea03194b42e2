/** Finds placeholders in headers and queries. They are compared exactly, but wherever a carrier may hide them. */
import type { EgressConfig, Route } from "./egress.ts";
import { decodeQueryText } from "./query.ts";

/** A placeholder and the endpoint whose route names it. */
export type Placeholder = EgressConfig["placeholders"][number];

const BASE64_TOKEN = /[A-Za-z0-9+/_-]{8,}={0,2}/g;

/** Texts that a header or field value says: itself, percent-decoded, and its base64 tokens decoded. */
function readings(value: string): readonly string[] {
  const texts = value.includes("%") ? [value, decodeQueryText(value)] : [value];
  const decoded = texts.flatMap((text) =>
    Array.from(text.matchAll(BASE64_TOKEN), ([token]) => Buffer.from(token, "base64").toString()),
  );
  return [...texts, ...decoded];
}

/** Placeholders that occur in a value. */
export function placeholdersIn(
  value: string,
  placeholders: readonly Placeholder[],
): readonly Placeholder[] {
  if (placeholders.length === 0 || value.length < 4) return [];
  const texts = readings(value);
  return placeholders.filter((it) => it.value !== "" && texts.some((t) => t.includes(it.value)));
}

/** Tells whether a placeholder belongs to a route. */
export function isOwnPlaceholder(placeholder: Placeholder, route: Route): boolean {
  if (route.auth?.placeholder === placeholder.value) return true;
  return placeholder.host === route.host && placeholder.port === route.port;
}
