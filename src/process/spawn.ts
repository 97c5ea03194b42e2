/** The one file that starts programs: argv arrays only, and a child gets exactly the environment and descriptors given. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { openSync } from "node:fs";
import { access, constants } from "node:fs/promises";
import { basename } from "node:path";
import { type Clock, systemClock } from "../base/clock.ts";
import { LaunchError, messageOf, systemCode } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import { RunningChild } from "./child.ts";
import { coverInherited, findInheritable, isInheritable } from "./descriptors.ts";
import type { Exec, StartOptions, StdioEntry } from "./exec.ts";
import { DEFAULT_SEARCH_PATH, findBinary, missingBinary } from "./find-binary.ts";
import type { KillSet } from "./kill-set.ts";
import { runToEnd } from "./run.ts";

export interface CreateExecOptions {
  /** Used where a call brings no log of its own. */
  readonly log?: Logger;
  readonly clock?: Clock;
  /** Learns of every child that must not outlive us. */
  readonly killSet?: KillSet;
}

const DEFAULT_STDIO: readonly StdioEntry[] = ["ignore", "pipe", "pipe"];

/** Makes the real Exec. */
export function createExec(options: CreateExecOptions = {}): Exec {
  const { clock = systemClock } = options;
  const protect = createLeakCover();
  const start = (argv: readonly string[], own: StartOptions = {}): Promise<RunningChild> =>
    startChild(argv, { ...own, stdio: protect(own.stdio ?? DEFAULT_STDIO) }, options);
  return { start, run: (argv, own = {}) => runToEnd(start, argv, own, clock) };
}

/** Looks once, at the first start, for descriptors that children would inherit unasked. */
function createLeakCover(): (stdio: readonly StdioEntry[]) => readonly StdioEntry[] {
  let leaks: readonly number[] | undefined;
  let nullDevice: number | undefined;
  return (stdio) => {
    leaks ??= findInheritable();
    const open = leaks.filter(isInheritable);
    if (open.length === 0) return stdio;
    nullDevice ??= openSync("/dev/null", "r");
    return coverInherited(stdio, open, nullDevice);
  };
}

async function startChild(
  argv: readonly string[],
  own: StartOptions,
  defaults: CreateExecOptions,
): Promise<RunningChild> {
  own.signal?.throwIfAborted();
  const file = checkArgv(argv);
  const env = checkEnv(own.env ?? {});
  const path = await resolveProgram(file, env["PATH"]);
  own.signal?.throwIfAborted();
  const placement = own.placement ?? "group";
  const child = await attempt(file, own.cwd, () =>
    spawn(path, argv.slice(1), {
      argv0: file,
      cwd: own.cwd,
      // Node adds this variable of ours to every child that does not name it.
      env: { NODE_V8_COVERAGE: undefined, ...env },
      detached: placement !== "foreground",
      stdio: [...(own.stdio ?? DEFAULT_STDIO)],
    }),
  );
  if (placement === "session") child.process.unref();
  return new RunningChild(child.process, child.pid, {
    name: own.name ?? basename(file),
    placement,
    graceMs: own.graceMs,
    signal: own.signal,
    log: own.log ?? defaults.log,
    clock: defaults.clock,
    killSet: defaults.killSet,
  });
}

/** Spawns and tells a program that cannot be executed from other failures. */
async function attempt(
  file: string,
  cwd: string | undefined,
  launch: () => ChildProcess,
): Promise<{ process: ChildProcess; pid: number }> {
  let cause: unknown;
  try {
    const process = launch();
    if (process.pid !== undefined) return { process, pid: process.pid };
    cause = await new Promise((resolve) => {
      process.once("error", resolve);
    });
  } catch (error) {
    cause = error;
  }
  throw await startError(file, cwd, cause);
}

async function startError(file: string, cwd: string | undefined, cause: unknown): Promise<Error> {
  const code = systemCode(cause) ?? messageOf(cause);
  if (cwd !== undefined && !(await canEnter(cwd))) {
    const message = `program "${file}" not started: directory "${cwd}" cannot be entered`;
    return new LaunchError("process.failed", message, { cause, details: { program: file } });
  }
  if (code === "ENOENT") return missingBinary(file, "it or its interpreter does not exist");
  if (code === "EACCES" || code === "ENOTDIR" || code === "ENOEXEC") {
    return missingBinary(file, `${code} when executing it`);
  }
  return new LaunchError("process.failed", `program "${file}" not started: ${code}`, {
    cause,
    details: { program: file },
  });
}

async function canEnter(directory: string): Promise<boolean> {
  try {
    await access(`${directory}/.`, constants.X_OK);
    return true;
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    return false;
  }
}

/** A bare name is looked up here, because execvp would take empty PATH entries for the current directory. */
async function resolveProgram(file: string, searchPath: string | undefined): Promise<string> {
  if (file.includes("/")) return file;
  const path = await findBinary(file, searchPath ?? DEFAULT_SEARCH_PATH);
  if (path !== undefined) return path;
  throw missingBinary(file, `it is not on PATH (${searchPath ?? DEFAULT_SEARCH_PATH})`);
}

/** Node's own complaint about a NUL byte would quote the value, which may be a secret. */
function checkArgv(argv: readonly string[]): string {
  const file = argv[0];
  if (file === undefined || file === "") {
    throw new LaunchError("process.failed", "program not started: argv is empty");
  }
  const bad = argv.findIndex((arg) => arg.includes("\0"));
  if (bad === -1) return file;
  throw new LaunchError(
    "process.failed",
    `program not started: argument ${bad} holds a NUL byte; text is expected`,
  );
}

function checkEnv(env: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  for (const [name, value] of Object.entries(env)) {
    if (name !== "" && !/[=\0]/.test(name) && !value.includes("\0")) continue;
    throw new LaunchError(
      "process.failed",
      `program not started: variable ${JSON.stringify(name)} holds a NUL byte or has no usable name`,
    );
  }
  return env;
}

/** Output of a small system program that tells one fact; undefined when it fails. For start-up code that cannot wait. */
export function runSync(
  argv: readonly [string, ...string[]],
  env: Readonly<Record<string, string>> = {},
): string | undefined {
  const [file, ...args] = argv;
  const result = spawnSync(file, args, {
    env: { NODE_V8_COVERAGE: undefined, ...env },
    encoding: "utf8",
    maxBuffer: 65_536,
    stdio: ["ignore", "pipe", "ignore"],
    timeout: 5_000,
  });
  return result.status === 0 ? result.stdout : undefined;
}
