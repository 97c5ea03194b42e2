/** Text that came from a guest, a file or a network, made safe for a terminal: no control character gets through. */

/** C0 and C1 controls, line and paragraph separators, and what turns the direction of writing; newline and tab are not here. */
const CONTROLS =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g;

/** Escapes every control character but newline and tab. */
export function cleanText(text: string): string {
  return text.replace(CONTROLS, escape);
}

/** Escapes every control character, so that the result is one line. */
export function cleanLine(text: string): string {
  return cleanText(text).replace(/[\n\t]/g, escape);
}

function escape(character: string): string {
  const code = character.charCodeAt(0);
  return code < 0x100
    ? `\\x${code.toString(16).padStart(2, "0")}`
    : `\\u${code.toString(16).padStart(4, "0")}`;
}
