/** Header lines of HTTP/1.1. What one parser could read otherwise than another is refused, never repaired. */
import { HeaderBlock, NO_HEADERS } from "../header-block.ts";
import { COLON, isAllOf, SPACE, TAB, TOKEN, VALUE } from "./bytes.ts";

/** Header lines of one message. */
export const MAX_HEADER_COUNT = 256;

/** Why bytes are not the message they should be; for people. */
export class Malformed {
  readonly why: string;

  constructor(why: string) {
    this.why = why;
  }
}

/** Most spellings of names that are remembered: real messages use a few dozen. */
const MAX_NAMES = 2048;
const lowerNames = new Map<string, string>();

/** The lower-case form of a name, the same string each time. */
function lowerName(name: string): string {
  const known = lowerNames.get(name);
  if (known !== undefined) return known;
  const lower = name.toLowerCase();
  const shared = lowerNames.get(lower) ?? lower;
  if (lowerNames.size < MAX_NAMES && name.length <= 64) lowerNames.set(name, shared);
  return shared;
}

/** Parses header lines, each with its CRLF, that take up `text` from `start` on. */
export function parseFields(text: string, start: number): HeaderBlock | Malformed {
  if (start >= text.length) return NO_HEADERS;
  const list: (readonly [string, string])[] = [];
  const names: string[] = [];
  for (let at = start; at < text.length; ) {
    const colon = endOfName(text, at);
    if (colon === at || text.charCodeAt(colon) !== COLON) return badName(text, at, colon);
    const end = text.indexOf("\r\n", colon);
    if (end < 0) return new Malformed("a header line does not end");
    const value = trimmed(text, colon + 1, end);
    if (value === undefined) return new Malformed("a header's value holds a control byte");
    const name = text.substring(at, colon);
    list.push([name, value]);
    names.push(lowerName(name));
    at = end + 2;
  }
  if (list.length > MAX_HEADER_COUNT) return new Malformed("there are too many header lines");
  return new HeaderBlock(list, names);
}

function endOfName(text: string, start: number): number {
  let at = start;
  while (TOKEN[text.charCodeAt(at)] === 1) at += 1;
  return at;
}

function badName(text: string, start: number, end: number): Malformed {
  const code = text.charCodeAt(end);
  const isBlank = code === SPACE || code === TAB;
  if (isBlank && end === start) return new Malformed("a header line is folded");
  if (isBlank) return new Malformed("a blank stands before the colon of a header");
  return new Malformed("a header has no name, or one with a byte that no name has");
}

/** A value without the blanks around it; undefined when it holds a byte that no value may. */
function trimmed(text: string, start: number, end: number): string | undefined {
  let first = start;
  let last = end;
  while (first < last && isBlank(text.charCodeAt(first))) first += 1;
  while (last > first && isBlank(text.charCodeAt(last - 1))) last -= 1;
  return isAllOf(VALUE, text, first, last) ? text.substring(first, last) : undefined;
}

const isBlank = (code: number): boolean => code === SPACE || code === TAB;
