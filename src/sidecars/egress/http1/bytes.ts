/** Which bytes may stand where in HTTP/1.1 (RFC 9110, 5; RFC 9112), as tables: one look-up per byte, no backtracking. */

function table(isIn: (byte: number) => boolean): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, byte) => (isIn(byte) ? 1 : 0));
}

const isAlphanumeric = (byte: number): boolean =>
  /[0-9A-Za-z]/.test(String.fromCharCode(byte)) && byte < 0x80;

/** Characters of a token: methods and names of headers. */
export const TOKEN: Uint8Array = table(
  (byte) => isAlphanumeric(byte) || "!#$%&'*+-.^_`|~".includes(String.fromCharCode(byte)),
);

/** Characters of a value: visible ones, blank, tab, and the bytes above ASCII. */
export const VALUE: Uint8Array = table((byte) => byte === 0x09 || (byte >= 0x20 && byte !== 0x7f));

/** Characters of a request target: what is visible, less the backslash, which some servers take for a slash. */
export const TARGET: Uint8Array = table((byte) => byte > 0x20 && byte < 0x7f && byte !== 0x5c);

/** Value of a hexadecimal digit, -1 for any other byte. */
export const HEX: Int8Array = Int8Array.from({ length: 256 }, (_, byte) =>
  isAlphanumeric(byte) && /[0-9a-f]/i.test(String.fromCharCode(byte))
    ? Number.parseInt(String.fromCharCode(byte), 16)
    : -1,
);

export const CR = 0x0d;
export const LF = 0x0a;
export const SPACE = 0x20;
export const TAB = 0x09;
export const COLON = 0x3a;

/** Whether all characters of a stretch of text are in a table. */
export function isAllOf(set: Uint8Array, text: string, start: number, end: number): boolean {
  for (let at = start; at < end; at += 1) {
    // A character beyond Latin-1 is in no table.
    if (set[text.charCodeAt(at)] !== 1) return false;
  }
  return true;
}

/** Whether a text may be the name of a header. */
export function isToken(text: string): boolean {
  return text !== "" && isAllOf(TOKEN, text, 0, text.length);
}

/** Whether a text may be the value of a header. */
export function isFieldValue(text: string): boolean {
  return isAllOf(VALUE, text, 0, text.length);
}
