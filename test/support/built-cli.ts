// The built CLI as a user drives it: dist/cli.js under this Node, with a home of its own.
import { type ChildProcess, type SpawnOptions, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";

export const REPOSITORY: string = join(import.meta.dirname, "../..");
export const CLI: string = join(REPOSITORY, "dist/cli.js");

if (!existsSync(CLI)) throw new Error("dist/cli.js is missing: run node scripts/build.ts");

/** How a command ended. */
export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: Buffer;
  readonly stderr: string;
}

export interface RunOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string | Buffer;
  readonly stdio?: SpawnOptions["stdio"];
  /** Ends the command when it hangs. */
  readonly timeoutMs?: number;
  readonly uid?: number;
}

/** Collects what a child writes until it is gone. */
export function ended(child: ChildProcess): Promise<Ended> {
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout?.on("data", (chunk: Buffer) => stdout.push(chunk));
  child.stderr?.on("data", (chunk: Buffer) => stderr.push(chunk));
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) => {
      resolve({
        code,
        signal,
        stdout: Buffer.concat(stdout),
        stderr: Buffer.concat(stderr).toString(),
      });
    });
  });
}

/** Starts the CLI. */
export function startCli(argv: readonly string[], options: RunOptions = {}): ChildProcess {
  const { cwd, env = {}, stdio = ["pipe", "pipe", "pipe"], uid, timeoutMs = 60_000 } = options;
  return spawn(process.execPath, [CLI, ...argv], {
    stdio,
    timeout: timeoutMs,
    ...(cwd === undefined ? {} : { cwd }),
    ...(uid === undefined ? {} : { uid, gid: uid }),
    env: { PATH: "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", ...env },
  });
}

/** Runs the CLI to its end. */
export async function runCli(argv: readonly string[], options: RunOptions = {}): Promise<Ended> {
  const child = startCli(argv, options);
  const end = ended(child);
  child.stdin?.on("error", () => undefined);
  child.stdin?.end(options.input ?? "");
  return end;
}
