/**
 * Paths as byte strings: names on disk are bytes, not UTF-8, and a file with an odd name is somebody's work too. A byte
 * string holds one byte per character (latin1).
 */

/** What node:fs is given. */
export function toBuffer(bytePath: string): Buffer {
  return Buffer.from(bytePath, "latin1");
}

/** Byte string of an ordinary path. */
export function toBytePath(path: string): string {
  return Buffer.from(path, "utf8").toString("latin1");
}

/** For messages; bytes that are not UTF-8 show as replacement characters, control characters as `?`. */
export function showBytePath(bytePath: string): string {
  return toBuffer(bytePath)
    .toString("utf8")
    .replaceAll(/\p{Cc}/gu, "?");
}
