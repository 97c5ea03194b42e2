/** The text of one manifest file and its positions. Lines and columns are 1-based and count in the file itself. */
import { isUtf8 } from "node:buffer";
import type { Issue } from "../base/errors.ts";

/** Largest manifest file that is read: a long system prompt is some 100 KiB. */
export const MAX_FILE_BYTES: number = 1024 * 1024;

/** One manifest file. */
export interface SourceFile {
  /** The file name without `.md`: the bottle's or the agent's name. */
  readonly name: string;
  readonly file: string;
  readonly text: string;
}

/** A place in a file. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

/** Finds the position of an offset; the table of lines is made once per text. */
export function positions(text: string): (offset: number) => Position {
  const starts = [0];
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) starts.push(at + 1);
  return (offset) => {
    let low = 0;
    let high = starts.length - 1;
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if ((starts[middle] ?? 0) <= offset) low = middle;
      else high = middle - 1;
    }
    return { line: low + 1, column: offset - (starts[low] ?? 0) + 1 };
  };
}

/** Decodes a file's bytes, which must be UTF-8; the issue names the first line that is not. */
export function decodeText(bytes: Uint8Array, file: string): string | Issue {
  if (isUtf8(bytes)) return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
  const line = firstBadLine(bytes);
  const message = "the text is not valid UTF-8; UTF-8 is expected";
  return { file, line, column: 1, path: "", message, hint: `edit ${file}:${line}` };
}

/** A newline never lies inside a character, so each line can be judged alone. */
function firstBadLine(bytes: Uint8Array): number {
  let line = 1;
  for (let start = 0; start < bytes.length; line++) {
    const end = bytes.indexOf(0x0a, start);
    const stop = end < 0 ? bytes.length : end + 1;
    if (!isUtf8(bytes.subarray(start, stop))) return line;
    start = stop;
  }
  return line;
}
