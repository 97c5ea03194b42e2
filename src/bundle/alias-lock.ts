/**
 * The lock under which aliases of the host's loopback are given out: a file that names its holder. Invariant: it appears whole or
 * not at all, and only a dead holder's is broken.
 */
import { randomBytes } from "node:crypto";
import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as z from "zod/mini";
import type { Clock } from "../base/clock.ts";
import { LaunchError, systemCode } from "../base/errors.ts";
import type { HostPath } from "../base/ids.ts";
import { parseJson } from "../base/json.ts";
import { makeDirectory } from "../base/make-directory.ts";
import { isAlive, readOwner } from "../process/identity.ts";

const LOCK_NAME = "loopback-aliases.lock";
/** Another launch holds it while its container starts. */
const WAIT_MS = 60_000;
const STEP_MS = 50;

const holderSchema = z.object({
  pid: z.number(),
  start_time: z.string(),
  boot_id: z.string(),
  pid_namespace: z.string(),
});

/** Takes the lock. Disposing gives it back. Throws LaunchError `launch.backend`, or the signal's reason. */
export async function lockAliases(
  cacheDir: HostPath,
  clock: Clock,
  signal: AbortSignal | undefined,
): Promise<Disposable> {
  makeDirectory(cacheDir);
  const file = join(cacheDir, LOCK_NAME);
  const content = JSON.stringify({ ...readOwner(), nonce: randomBytes(8).toString("hex") });
  const giveUpAt = clock.monotonic() + WAIT_MS;
  while (!take(file, content)) {
    if (clock.monotonic() >= giveUpAt) throw stuck(file);
    if (!breakStale(file)) await clock.sleep(STEP_MS, signal);
  }
  return { [Symbol.dispose]: () => release(file, content) };
}

/** A second name for a finished file is made at once or not at all. */
function take(file: string, content: string): boolean {
  const own = temporary(file);
  writeFileSync(own, content, { mode: 0o600, flag: "wx" });
  try {
    linkSync(own, file);
    return true;
  } catch (error) {
    if (systemCode(error) !== "EEXIST") throw error;
    return false;
  } finally {
    rmSync(own, { force: true });
  }
}

/** Removes a dead holder's lock; true when the next try may succeed. */
function breakStale(file: string): boolean {
  const content = read(file);
  if (content === undefined) return true;
  if (isHeld(content)) return false;
  const aside = temporary(file);
  try {
    renameSync(file, aside);
  } catch (error) {
    if (systemCode(error) !== "ENOENT") throw error;
    return true;
  }
  // Somebody else may have broken it and taken it in between: then it is theirs, and goes back.
  if (read(aside) !== content) putBack(aside, file);
  rmSync(aside, { force: true });
  return true;
}

function putBack(aside: string, file: string): void {
  try {
    linkSync(aside, file);
  } catch (error) {
    if (systemCode(error) !== "EEXIST") throw error;
  }
}

/** Of another pid namespace nothing can be known, so it counts as held. */
function isHeld(content: string): boolean {
  const holder = parseHolder(content);
  const self = readOwner();
  if (holder === undefined || holder.boot_id !== self.boot_id) return false;
  if (holder.pid_namespace !== self.pid_namespace) return true;
  return isAlive({ pid: holder.pid, startTime: holder.start_time });
}

function parseHolder(content: string): z.infer<typeof holderSchema> | undefined {
  try {
    return holderSchema.safeParse(parseJson(content)).data;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return undefined;
  }
}

function release(file: string, content: string): void {
  if (read(file) === content) rmSync(file, { force: true });
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    if (systemCode(error) !== "ENOENT") throw error;
    return undefined;
  }
}

const temporary = (file: string): string => `${file}.${randomBytes(6).toString("hex")}`;

function stuck(file: string): LaunchError {
  return new LaunchError(
    "launch.backend",
    `no alias of the loopback was given out: another launch has held ${file} for ${WAIT_MS / 1000} s`,
    { hint: "wait for the other launch; if none runs, remove the file" },
  );
}
