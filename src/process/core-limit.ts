/** The core limit of what we start: no crash of it may end in a file or in the hands of the host's crash handler. */
import { readFileSync } from "node:fs";
import { systemCode } from "../base/errors.ts";

/** The one limit at which no crash handler is called; zero does not do that when the host's pattern is a pipe (core(5)). */
const CORE_LIMIT_BYTES = 1;

/**
 * Arguments of prlimit(1) that set the limit. None where our own hard limit is zero and may not be raised to one: a program
 * of ours that failed over it would protect nobody.
 */
export function coreLimitArgs(): readonly string[] {
  const isFixedAtZero = process.geteuid?.() !== 0 && readHardCoreLimit() === "0";
  return isFixedAtZero ? [] : [`--core=${CORE_LIMIT_BYTES}:${CORE_LIMIT_BYTES}`];
}

function readHardCoreLimit(): string | undefined {
  try {
    const limits = readFileSync("/proc/self/limits", "utf8");
    return /^Max core file size\s+\S+\s+(\S+)/m.exec(limits)?.[1];
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    return undefined;
  }
}
