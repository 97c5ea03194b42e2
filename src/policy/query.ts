/** Query strings as pairs that keep their own bytes; names are compared as the most generous server would read them. */

/** One `name=value` part: the bytes as sent and what they decode to. */
export interface QueryPair {
  readonly raw: string;
  readonly name: string;
  readonly value: string;
}

/** Decodes percent escapes and plus signs; broken escapes and bytes that are not UTF-8 stay readable as Latin-1. */
export function decodeQueryText(text: string): string {
  const spaced = text.replaceAll("+", " ");
  if (!spaced.includes("%")) return spaced;
  const latin1 = spaced.replace(/%([0-9a-f]{2})/gi, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
  return Buffer.from(latin1, "latin1").toString("utf8");
}

/** Splits a query at ampersands and semicolons: servers differ, so both count. */
export function parseQuery(query: string): readonly QueryPair[] {
  if (query === "") return [];
  return query.split(/[&;]/).map((raw) => {
    const equals = raw.indexOf("=");
    const name = equals < 0 ? raw : raw.slice(0, equals);
    const value = equals < 0 ? "" : raw.slice(equals + 1);
    return { raw, name: decodeQueryText(name), value: decodeQueryText(value) };
  });
}

/** Name as loose servers read it: blanks trimmed, lower case, `a[]` and `a.b` as `a` and `a_b`. */
export function looseFieldName(name: string): string {
  return (name.split("[")[0] ?? "").trim().toLowerCase().replace(/[ .]/g, "_");
}

/** Removes whole pairs from a query, leaving every other byte, the separators included. */
export function removePairs(query: string, isRemoved: (pair: QueryPair) => boolean): string {
  const parts = query.split(/([&;])/);
  const pairs = parseQuery(query);
  let kept = "";
  for (const [index, pair] of pairs.entries()) {
    if (isRemoved(pair)) continue;
    kept += (kept === "" ? "" : (parts[index * 2 - 1] ?? "&")) + pair.raw;
  }
  return kept;
}
