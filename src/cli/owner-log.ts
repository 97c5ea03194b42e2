/** The owner's log: JSON lines in the bottle's log directory, once that exists, and mirrored to stderr on request. */
import { closeSync, constants, fstatSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { systemCode } from "../base/errors.ts";
import { createLogger, type Logger } from "../base/log.ts";
import type { BottlePlan } from "../index.ts";
import { MAX_LOG_BYTES } from "./agent-log.ts";

/** Lines kept until the log directory exists. */
const MAX_EARLY_LINES = 200;
const LAST_LINE = `${JSON.stringify({ level: 40, msg: "the log is full, and what follows is not in it" })}\n`;

/** Opens lazily: the directory belongs to the launch, and a failed launch leaves none. */
export function openOwnerLog(plan: BottlePlan, debug: readonly string[]): Logger {
  const file = join(plan.paths.logs, "owner.log");
  const isMirrored = debug.length > 0;
  const early: string[] = [];
  return createLogger((line) => {
    if (isMirrored) writeSync(2, line);
    early.push(line);
    if (early.length > MAX_EARLY_LINES) early.shift();
    if (appendAll(file, early)) early.length = 0;
  });
}

function appendAll(file: string, lines: readonly string[]): boolean {
  try {
    const fd = openSync(
      file,
      constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW,
      0o600,
    );
    try {
      const text = lines.join("");
      const room = MAX_LOG_BYTES - fstatSync(fd).size;
      if (room > 0) writeSync(fd, text.length < room ? text : `${text}${LAST_LINE}`);
    } finally {
      closeSync(fd);
    }
    return true;
  } catch (error) {
    // Before the launch has made the directory and after it removed it there is nowhere to write.
    return systemCode(error) !== "ENOENT";
  }
}
