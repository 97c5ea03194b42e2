/** What the hard limits of this process leave room for in a program that we start: an ordinary user cannot raise them. */
import { readFileSync } from "node:fs";
import { systemCode } from "../base/errors.ts";

/** The one limit at which no crash handler is called; zero does not do that when the host's pattern is a pipe (core(5)). */
const CORE_LIMIT_BYTES = 1;

/**
 * Arguments of prlimit(1) that keep a crash out of files and of the host's crash handler. None where our own hard limit is
 * zero and may not be raised to one: a program of ours that failed over it would protect nobody.
 */
export function coreLimitArgs(): readonly string[] {
  const isFixedAtZero = process.geteuid?.() !== 0 && readHardLimit("Max core file size") === 0;
  return isFixedAtZero ? [] : [`--core=${CORE_LIMIT_BYTES}:${CORE_LIMIT_BYTES}`];
}

/** Most processes that a program of ours can be allowed; undefined where there is no limit. */
export function hardProcessLimit(): number | undefined {
  return readHardLimit("Max processes");
}

function readHardLimit(title: string): number | undefined {
  const line = readLimits()
    .split("\n")
    .find((it) => it.startsWith(title));
  const hard = line?.slice(title.length).trim().split(/\s+/)[1];
  return hard === undefined || !/^\d+$/.test(hard) ? undefined : Number(hard);
}

/** Empty where there is no such file. */
function readLimits(): string {
  try {
    return readFileSync("/proc/self/limits", "utf8");
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    return "";
  }
}
