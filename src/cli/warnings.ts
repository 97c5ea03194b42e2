/** What needs the operator while a bottle runs: kept in the owner's log, because a detached owner has nobody to tell. */
import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { join } from "node:path";
import { systemCode } from "../base/errors.ts";
import { parseJson } from "../base/json.ts";
import type { Logger } from "../base/log.ts";

/** What a warning is about; each topic has one standing warning at most. */
export type WarningTopic = "audit" | "login" | "bundle";

/** Bytes at the end of the log that are looked through. */
const TAIL_BYTES = 256 * 1024;

/** Records a warning. */
export function logWarning(log: Logger, topic: WarningTopic, text: string): void {
  log.warn(text, { topic });
}

/** Records that what a topic's warning said no longer holds. */
export function logRecovery(log: Logger, topic: WarningTopic, text: string): void {
  log.info(text, { topic });
}

/** The last warning of a bottle that still stands, undefined where there is none or no log. */
export function readLastWarning(logs: string): string | undefined {
  const standing = new Map<string, string>();
  for (const line of readTail(join(logs, "owner.log")).split("\n")) {
    if (!line.includes('"topic"')) continue;
    const { topic, level, msg } = readEntry(line);
    if (topic === undefined || msg === undefined) continue;
    standing.delete(topic);
    if (level === 40) standing.set(topic, msg);
  }
  return [...standing.values()].at(-1);
}

interface Entry {
  readonly topic?: string;
  readonly msg?: string;
  readonly level?: unknown;
}

/** A line that is no entry, as the first one of a tail may be, says nothing. */
function readEntry(line: string): Entry {
  if (!line.startsWith("{") || !line.endsWith("}")) return {};
  try {
    const value = parseJson(line);
    if (typeof value !== "object" || value === null) return {};
    const { topic, msg, level } = { topic: "", msg: "", level: 0, ...value };
    return typeof topic === "string" && typeof msg === "string" ? { topic, msg, level } : {};
  } catch (error) {
    if (error instanceof SyntaxError) return {};
    throw error;
  }
}

function readTail(file: string): string {
  try {
    const fd = openSync(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    try {
      const { size } = fstatSync(fd);
      const bytes = Buffer.alloc(Math.min(size, TAIL_BYTES));
      const count = readSync(fd, bytes, 0, bytes.length, size - bytes.length);
      return bytes.toString("utf8", 0, count);
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    // A bottle may end, or its log be somebody else's, while bottles are listed.
    if (systemCode(error) !== undefined) return "";
    throw error;
  }
}
