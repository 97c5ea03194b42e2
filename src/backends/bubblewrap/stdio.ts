/**
 * Descriptors 0-2 of a guest. One that is a file of the host is never handed over: through /proc/self/fd a guest of the
 * same uid could open that file anew, write where it may only read, and read what was in it before. A fifo stands between.
 */
import {
  closeSync,
  constants,
  createReadStream,
  createWriteStream,
  fstatSync,
  openSync,
} from "node:fs";
import { rm } from "node:fs/promises";
import { Socket } from "node:net";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { LaunchError, systemCode } from "../../base/errors.ts";
import { ignore } from "../../base/log.ts";
import type { StdioEntry } from "../../process/exec.ts";
import { requireBinary } from "../../process/find-binary.ts";
import type { BackendPorts } from "../contract.ts";

type Stdio = readonly [StdioEntry, StdioEntry, StdioEntry];

/** What the chain is started with, and the copying behind it. */
export interface ShieldedStdio {
  readonly entries: Stdio;
  /** To be called once the chain has its copies: closes ours, so that the end of the guest's output is seen. */
  release(): void;
  /** Settles when all output has reached its file; never rejects. */
  readonly drained: Promise<void>;
  /** Stops copying. */
  close(): void;
}

interface Pump {
  readonly fd: 0 | 1 | 2;
  readonly childFd: number;
  /** Settles when everything was copied, or copying was given up; never rejects. */
  readonly done: Promise<void>;
  /** Closes our copy of the child's end. Idempotent. */
  release(): void;
  close(): void;
}

/** Looks at each descriptor and puts a fifo, made in `directory`, in front of files. Throws LaunchError for directories. */
export async function shieldStdio(
  stdio: Stdio,
  directory: string,
  ports: BackendPorts,
): Promise<ShieldedStdio> {
  const [input, output, error] = [judge(stdio[0], 0), judge(stdio[1], 1), judge(stdio[2], 2)];
  const files = (
    [
      [0, input],
      [1, output],
      [2, error],
    ] as const
  ).flatMap(([fd, { file }]) =>
    file === undefined ? [] : [{ fd, target: file, path: join(directory, `stdio-${fd}`) }],
  );
  const paths = files.map(({ path }) => path);
  const pumps: Pump[] = [];
  try {
    await makeFifos(paths, ports);
    for (const { fd, target, path } of files) pumps.push(openPump(fd, target, path, ports));
  } catch (failure) {
    for (const pump of pumps) pump.close();
    throw failure;
  } finally {
    await Promise.all(paths.map((path) => rm(path, { force: true })));
  }
  const entryOf = (fd: 0 | 1 | 2, entry: StdioEntry): StdioEntry =>
    pumps.find((pump) => pump.fd === fd)?.childFd ?? entry;
  return {
    entries: [entryOf(0, input.entry), entryOf(1, output.entry), entryOf(2, error.entry)],
    release: () => {
      for (const pump of pumps) pump.release();
    },
    drained: Promise.all(pumps.filter((pump) => pump.fd !== 0).map((pump) => pump.done)).then(
      () => undefined,
    ),
    close: () => {
      for (const pump of pumps) pump.close();
    },
  };
}

interface Judged {
  readonly entry: StdioEntry;
  /** The descriptor, when it is a file. */
  readonly file: number | undefined;
}

/** Nobody could read a pipe that is asked for here: the contract has no place for it. */
function judge(entry: StdioEntry, index: number): Judged {
  if (entry === "ignore" || entry === "pipe") return { entry: "ignore", file: undefined };
  const descriptor = entry === "inherit" ? index : entry;
  try {
    const found = fstatSync(descriptor);
    if (found.isDirectory() || found.isBlockDevice()) throw unusable(index);
    return { entry: descriptor, file: found.isFile() ? descriptor : undefined };
  } catch (error) {
    if (systemCode(error) !== "EBADF") throw error;
    return { entry: "ignore", file: undefined };
  }
}

function unusable(index: number): LaunchError {
  return new LaunchError(
    "launch.backend",
    `descriptor ${index} is a directory or a disk; a terminal, a pipe or a file is expected`,
    { hint: "redirect it to /dev/null" },
  );
}

async function makeFifos(paths: readonly string[], ports: BackendPorts): Promise<void> {
  if (paths.length === 0) return;
  const mkfifo = await requireBinary("mkfifo", `${ports.searchPath}:/usr/bin:/bin`);
  // Any uid may open it anew (`/dev/stdout` in the guest does); the directory around it is private, and it is unlinked.
  const { exitCode, stderr } = await ports.exec.run([mkfifo, "-m", "666", "--", ...paths], {
    timeoutMs: 10_000,
    env: {},
  });
  if (exitCode === 0) return;
  throw new LaunchError("launch.backend", `cannot make a fifo: ${stderr.toString("utf8").trim()}`);
}

function openPump(fd: 0 | 1 | 2, file: number, path: string, ports: BackendPorts): Pump {
  // Open in both directions first, so that opening either end does not wait for the other.
  const both = openSync(path, constants.O_RDWR);
  const ours = openSync(
    path,
    (fd === 0 ? constants.O_WRONLY : constants.O_RDONLY) | constants.O_NONBLOCK,
  );
  const childFd = openSync(path, fd === 0 ? constants.O_RDONLY : constants.O_WRONLY);
  closeSync(both);
  const socket = new Socket({ fd: ours, readable: fd !== 0, writable: fd === 0 });
  const copying =
    fd === 0
      ? pipeline(createReadStream("", { fd: file, autoClose: false }), socket)
      : pipeline(socket, createWriteStream("", { fd: file, autoClose: false }));
  let isReleased = false;
  const release = (): void => {
    if (!isReleased) closeSync(childFd);
    isReleased = true;
  };
  return {
    fd,
    childFd,
    done: ignore(copying, `descriptor ${fd} was closed early`, ports.log),
    release,
    close: () => {
      release();
      socket.destroy();
    },
  };
}
