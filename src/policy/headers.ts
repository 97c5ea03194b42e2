/** Header lists as they came: order, repetition and spelling kept, because a map would hide the second of two headers. */

/** Name and value of each header line, in order. */
export type HeaderList = readonly (readonly [name: string, value: string])[];

/** All values of a header, whatever the case of its name. */
export function headerValues(headers: HeaderList, name: string): readonly string[] {
  const wanted = name.toLowerCase();
  return headers.filter(([it]) => it.toLowerCase() === wanted).map(([, value]) => value);
}

/** Name as loose servers read it: lower case, underscores as hyphens, because gateways of CGI and WSGI cannot tell them apart. */
export function looseHeaderName(name: string): string {
  const lower = name.toLowerCase();
  return lower.includes("_") ? lower.replaceAll("_", "-") : lower;
}
