/** The end of a log inside a message: a launch that fails takes its log along, so what it said must be told at once. */
import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { systemCode } from "../base/errors.ts";

/** Bytes at the end of the log that are looked at. */
const TAIL_BYTES = 8 * 1024;
/** Lines that are told, and how long they may be together. */
const MAX_LINES = 3;
const MAX_LENGTH = 600;

/** A hint with the last lines of a log, cleaned; where there are none, the command that finds out more. */
export function logHint(path: string): string {
  const said = lastLines(readTail(path));
  return said === "" ? "run bot-bottle doctor" : `its log ends with: ${said}`;
}

/** The last lines of a text as one line, without what a terminal would act on and no longer than fits a message. */
export function lastLines(text: string): string {
  const lines = text
    .split("\n")
    .map((line) => line.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, " ").trim())
    .filter((line) => line !== "");
  const said = lines.slice(-MAX_LINES).join(" | ");
  return said.length <= MAX_LENGTH ? said : `…${said.slice(-MAX_LENGTH)}`;
}

function readTail(path: string): string {
  try {
    const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    try {
      const { size } = fstatSync(fd);
      const bytes = Buffer.alloc(Math.min(size, TAIL_BYTES));
      const count = readSync(fd, bytes, 0, bytes.length, size - bytes.length);
      return bytes.toString("utf8", 0, count);
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    // The failure that is being told counts, not that its log is missing.
    if (systemCode(error) !== undefined) return "";
    throw error;
  }
}
