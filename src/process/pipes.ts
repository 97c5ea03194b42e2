/**
 * Pipes whose two ends are plain descriptors of ours. Node makes socket pairs only, which no program can open again as
 * /dev/stdout, so a shell makes the pipes and we open their ends while it holds them.
 */
import { closeSync, constants, fchmodSync, openSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { Socket } from "node:net";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { withDeadline } from "../base/deadline.ts";
import { LaunchError } from "../base/errors.ts";
import { helperEnv } from "./env.ts";
import type { Exec } from "./exec.ts";

export interface PipePorts {
  /** Private directory in which FIFOs have a name for a moment, where there is no /proc. */
  readonly dir: string;
  readonly exec: Exec;
  readonly searchPath: string;
}

/** Longest wait for the shell; it does nothing but fork. */
const SHELL_MS = 10_000;

/** One pipe: blocking ends for a child, non-blocking ends for us. */
export class Pipe implements Disposable {
  /** Blocking ends, to be passed to a child; only one of them is used. */
  readonly readEnd: number;
  readonly writeEnd: number;
  readonly #ourRead: number;
  readonly #ourWrite: number;
  readonly #open = new Set<number>();

  /** `path` leads to a pipe or FIFO. */
  constructor(path: string) {
    // A FIFO opens at once in each direction while both are held.
    this.#track(openSync(path, constants.O_RDWR | constants.O_NONBLOCK));
    const [both] = this.#open;
    this.readEnd = this.#track(openSync(path, constants.O_RDONLY));
    this.writeEnd = this.#track(openSync(path, constants.O_WRONLY));
    this.#ourRead = this.#track(openSync(path, constants.O_RDONLY | constants.O_NONBLOCK));
    this.#ourWrite = this.#track(openSync(path, constants.O_WRONLY | constants.O_NONBLOCK));
    // A guest of another uid may open /dev/stdout, which is this very pipe. No one else can name it.
    fchmodSync(this.readEnd, 0o666);
    if (both !== undefined) this.#close(both);
  }

  /** Our reading end; the writing ends that remain are the child's. */
  takeReader(): Socket {
    this.#close(this.readEnd, this.#ourWrite);
    this.#open.delete(this.#ourRead);
    return new Socket({ fd: this.#ourRead, readable: true, writable: false });
  }

  /** Our writing end; the reading ends that remain are the child's. */
  takeWriter(): Socket {
    this.#close(this.writeEnd, this.#ourRead);
    this.#open.delete(this.#ourWrite);
    return new Socket({ fd: this.#ourWrite, readable: false, writable: true });
  }

  /** Closes what was for the child, which has its own copy by then. */
  closeGuestEnds(): void {
    this.#close(this.readEnd, this.writeEnd);
  }

  [Symbol.dispose](): void {
    this.#close(...this.#open);
  }

  #track(fd: number): number {
    this.#open.add(fd);
    return fd;
  }

  #close(...fds: readonly number[]): void {
    for (const fd of fds) if (this.#open.delete(fd)) closeSync(fd);
  }
}

/** Makes pipes. Throws LaunchError `process.failed`, HostError. */
export function openPipes(count: number, ports: PipePorts): Promise<readonly Pipe[]> {
  if (count === 0) return Promise.resolve([]);
  return process.platform === "linux" ? openPipesOfShell(count, ports) : openFifos(count, ports);
}

function openAll(paths: readonly string[]): readonly Pipe[] {
  const made: Pipe[] = [];
  try {
    for (const path of paths) made.push(new Pipe(path));
    return made;
  } catch (error) {
    for (const pipe of made) pipe[Symbol.dispose]();
    throw error;
  }
}

/**
 * Each part of a pipeline says its pid, by which its end of the pipe is found, and waits until we have opened it. Descriptor
 * 5 holds the end, because a shell moves 0 and 1 about while it redirects a command of its own.
 */
async function openPipesOfShell(count: number, ports: PipePorts): Promise<readonly Pipe[]> {
  const part = `{ exec 5>&1; read -r pid rest </proc/self/stat; echo "$pid" >&3; read -r rest <&4; }`;
  const pipeline = [...Array.from({ length: count }, () => part), ":"].join(" | ");
  await using shell = await ports.exec.start(["sh", "-c", `exec 3>&1 4<&0; ${pipeline}`], {
    env: helperEnv(ports.searchPath),
    stdio: ["pipe", "pipe", "ignore"],
  });
  const pids = await withDeadline(readLines(shell.stdout, count), {
    what: "the shell that makes pipes",
    timeoutMs: SHELL_MS,
  });
  return openAll(pids.map((pid) => `/proc/${pid}/fd/5`));
}

function readLines(stream: Readable | undefined, count: number): Promise<readonly string[]> {
  return new Promise((resolve, reject) => {
    let text = "";
    stream?.on("data", (chunk: Buffer) => {
      text += chunk.toString("latin1");
      const lines = text.split("\n");
      if (lines.length > count) resolve(lines.slice(0, count));
    });
    stream?.once("close", () => {
      reject(new LaunchError("process.failed", "pipes for the guest not made: the shell gave up"));
    });
  });
}

/** Where there is no /proc, opening a FIFO by descriptor does not wait for the other end, so FIFOs do as well. */
async function openFifos(count: number, ports: PipePorts): Promise<readonly Pipe[]> {
  const directory = await mkdtemp(join(ports.dir, "stdio-"));
  const paths = Array.from({ length: count }, (_, index) => join(directory, String(index)));
  try {
    const argv = ["mkfifo", "-m", "600", ...paths];
    const result = await ports.exec.run(argv, { env: helperEnv(ports.searchPath) });
    if (result.exitCode === 0) return openAll(paths);
    const seen = result.stderr.toString("utf8").trim();
    throw new LaunchError("process.failed", `pipes for the guest not made: ${seen}`);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
