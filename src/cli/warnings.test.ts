// A detached bottle's warnings are found again until they no longer hold.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { createLogger, type Logger } from "../base/log.ts";
import { logRecovery, logWarning, readLastWarning } from "./warnings.ts";

let logs: string;
let log: Logger;
beforeEach(() => {
  logs = mkdtempSync(join(tmpdir(), "warnings-"));
  const flag = "a";
  log = createLogger((line) => writeFileSync(join(logs, "owner.log"), line, { flag }));
});
afterEach(() => rmSync(logs, { recursive: true, force: true }));

it("finds none where there is no log, and none in other lines", () => {
  expect(readLastWarning(logs)).toBeUndefined();
  log.warn("something else");
  log.info('speaks of "topic"');
  expect(readLastWarning(logs)).toBeUndefined();
});

it("shows the last warning that still stands", () => {
  logWarning(log, "audit", "no room");
  logWarning(log, "bundle", "restarted");
  expect(readLastWarning(logs)).toBe("restarted");
  logWarning(log, "audit", "no room again");
  expect(readLastWarning(logs)).toBe("no room again");
  logRecovery(log, "audit", "written again");
  expect(readLastWarning(logs)).toBe("restarted");
});

it("looks through the end of a long log", () => {
  logWarning(log, "audit", "long ago");
  for (let index = 0; index < 300; index += 1) log.debug("x".repeat(1024));
  expect(readLastWarning(logs)).toBeUndefined();
  logWarning(log, "login", "has run out");
  expect(readLastWarning(logs)).toBe("has run out");
});
