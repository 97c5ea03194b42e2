/** Runs a program to its end with bounded output, a timeout and a signal. Whatever happens, the child is gone on return. */
import type { Readable } from "node:stream";
import type { Clock } from "../base/clock.ts";
import { LaunchError, TimeoutError } from "../base/errors.ts";
import {
  type Child,
  MAX_OUTPUT_BYTES,
  type RunOptions,
  type RunResult,
  type StartOptions,
} from "./exec.ts";

type Start = (argv: readonly string[], options: StartOptions) => Promise<Child>;

/** Collects up to `limit` bytes of a stream and reads the rest away. */
function collect(stream: Readable | undefined, limit: number, onFull: () => void): () => Buffer {
  const chunks: Buffer[] = [];
  let size = 0;
  stream?.on("data", (chunk: Buffer) => {
    size += chunk.length;
    if (size <= limit) chunks.push(chunk);
    else onFull();
  });
  return () => Buffer.concat(chunks);
}

/** `Exec.run` over `Exec.start`. */
export async function runToEnd(
  start: Start,
  argv: readonly string[],
  options: RunOptions,
  clock: Clock,
): Promise<RunResult> {
  const { input, timeoutMs, maxOutputBytes = MAX_OUTPUT_BYTES, ...own } = options;
  await using child = await start(argv, {
    ...own,
    stdio: [input === undefined ? "ignore" : "pipe", "pipe", "pipe"],
  });
  let failure: Error | undefined;
  const fail = (error: () => Error): void => {
    if (failure !== undefined) return;
    failure = error();
    child.kill("SIGKILL");
  };
  const onFull = (): void => fail(() => tooMuchOutput(argv, maxOutputBytes));
  const stdout = collect(child.stdout, maxOutputBytes, onFull);
  const stderr = collect(child.stderr, maxOutputBytes, onFull);
  child.stdin?.end(input);
  const status = await endsInTime(child, timeoutMs, clock);
  own.signal?.throwIfAborted();
  if (status === undefined) throw tookTooLong(argv, timeoutMs, stderr());
  if (failure !== undefined) throw failure;
  return { ...status, stdout: stdout(), stderr: stderr() };
}

/** The exit, or undefined when the time was up first; the child has exited in both cases. */
async function endsInTime(
  child: Child,
  timeoutMs: number | undefined,
  clock: Clock,
): Promise<Awaited<Child["exited"]> | undefined> {
  if (timeoutMs === undefined) return child.exited;
  const stop = new AbortController();
  const timer = clock.sleep(timeoutMs, stop.signal).then(
    () => undefined,
    () => child.exited,
  );
  try {
    const status = await Promise.race([child.exited, timer]);
    if (status === undefined) await child.terminate();
    return status;
  } finally {
    stop.abort();
  }
}

function tooMuchOutput(argv: readonly string[], limit: number): LaunchError {
  const message = `program "${argv[0]}" stopped: it wrote over ${limit} bytes`;
  return new LaunchError("process.failed", message, { details: { program: argv[0] } });
}

function tookTooLong(
  argv: readonly string[],
  timeoutMs: number | undefined,
  stderr: Buffer,
): TimeoutError {
  const tail = stderr.toString("utf8").trimEnd().split("\n").slice(-5);
  return new TimeoutError(`waited ${timeoutMs} ms for "${argv[0]}"`, {
    details: { program: argv[0], stderr: tail },
  });
}
