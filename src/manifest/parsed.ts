/** The outcome of parsing one value: typed, or what was seen and what was expected, in the message grammar. */

/** A value that was read, or why it was not. Neither text may repeat the value: it may be a secret. */
export type Parsed<T> =
  | { readonly kind: "ok"; readonly value: T }
  | {
      readonly kind: "fault";
      /** What was seen, as a clause that follows the value: "has a scheme". */
      readonly seen: string;
      /** What is expected, as the subject of "… is expected". */
      readonly expected: string;
      readonly hint: string | undefined;
    };

/** A value that was read. */
export function ok<T>(value: T): Parsed<T> {
  return { kind: "ok", value };
}

/** A value that cannot be used. */
export function fault(seen: string, expected: string, hint?: string): Parsed<never> {
  return { kind: "fault", seen, expected, hint };
}

/** True where the text holds a control character; terminals and header fields must never get one. */
export function hasControl(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code < 0x20 || (code >= 0x7f && code <= 0x9f)) return true;
  }
  return false;
}
