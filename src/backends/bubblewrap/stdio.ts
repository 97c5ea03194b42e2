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
  readonly fds: readonly number[];
  readonly childFd: number;
  readonly isOutput: boolean;
  /** Settles when everything was copied, or copying was given up; never rejects. */
  readonly done: Promise<void>;
  /** Closes our copy of the child's end. Idempotent. */
  release(): void;
  close(): void;
}

/** Descriptors that lead to one file, and its fifo. */
interface Route {
  readonly fds: readonly number[];
  readonly file: number;
  readonly path: string;
}

/** Looks at each descriptor and puts a fifo, made in `directory`, in front of files. Throws LaunchError for directories. */
export async function shieldStdio(
  stdio: Stdio,
  directory: string,
  ports: BackendPorts,
): Promise<ShieldedStdio> {
  const judged = stdio.map(judge);
  const routes = findRoutes(judged, directory);
  const paths = routes.map(({ path }) => path);
  const pumps: Pump[] = [];
  try {
    await makeFifos(paths, ports);
    for (const route of routes) pumps.push(openPump(route, ports));
  } catch (failure) {
    for (const pump of pumps) pump.close();
    throw failure;
  } finally {
    await Promise.all(paths.map((path) => rm(path, { force: true })));
  }
  const entryOf = (fd: 0 | 1 | 2): StdioEntry =>
    pumps.find((pump) => pump.fds.includes(fd))?.childFd ?? judged[fd]?.entry ?? "ignore";
  return {
    entries: [entryOf(0), entryOf(1), entryOf(2)],
    release: () => {
      for (const pump of pumps) pump.release();
    },
    drained: drainOf(pumps),
    close: () => {
      for (const pump of pumps) pump.close();
    },
  };
}

async function drainOf(pumps: readonly Pump[]): Promise<void> {
  for (const pump of pumps) if (pump.isOutput) await pump.done;
}

/** stdout and stderr that go to one file share a fifo, so that their order is kept. */
function findRoutes(judged: readonly Judged[], directory: string): readonly Route[] {
  const routes: Route[] = [];
  for (const [fd, { file, identity }] of judged.entries()) {
    if (file === undefined) continue;
    const known = fd === 2 && judged[1]?.identity === identity;
    const last = known ? routes.pop() : undefined;
    routes.push(
      last === undefined
        ? { fds: [fd], file, path: join(directory, `stdio-${fd}`) }
        : { ...last, fds: [1, 2] },
    );
  }
  return routes;
}

interface Judged {
  readonly entry: StdioEntry;
  /** The descriptor and what tells its file from others, when it is a file. */
  readonly file: number | undefined;
  readonly identity: string | undefined;
}

const CLOSED: Judged = { entry: "ignore", file: undefined, identity: undefined };

/** Nobody could read a pipe that is asked for here: the contract has no place for it. */
function judge(entry: StdioEntry, index: number): Judged {
  if (entry === "ignore" || entry === "pipe") return CLOSED;
  const descriptor = entry === "inherit" ? index : entry;
  try {
    const found = fstatSync(descriptor);
    if (found.isDirectory() || found.isBlockDevice()) throw unusable(index);
    if (!found.isFile()) return { ...CLOSED, entry: descriptor };
    return { entry: descriptor, file: descriptor, identity: `${found.dev}:${found.ino}` };
  } catch (error) {
    if (systemCode(error) !== "EBADF") throw error;
    return CLOSED;
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

function openPump(route: Route, ports: BackendPorts): Pump {
  const { fds, file, path } = route;
  const isOutput = !fds.includes(0);
  // Open in both directions first, so that opening either end does not wait for the other.
  const both = openSync(path, constants.O_RDWR);
  const ours = openSync(
    path,
    (isOutput ? constants.O_RDONLY : constants.O_WRONLY) | constants.O_NONBLOCK,
  );
  const childFd = openSync(path, isOutput ? constants.O_WRONLY : constants.O_RDONLY);
  closeSync(both);
  const socket = new Socket({ fd: ours, readable: isOutput, writable: !isOutput });
  const copying = isOutput
    ? pipeline(socket, createWriteStream("", { fd: file, autoClose: false }))
    : pipeline(createReadStream("", { fd: file, autoClose: false }), socket);
  let isReleased = false;
  const release = (): void => {
    if (!isReleased) closeSync(childFd);
    isReleased = true;
  };
  return {
    ...{ fds, childFd, isOutput, release },
    done: ignore(copying, `descriptor ${fds.join(", ")} was closed early`, ports.log),
    close: () => {
      release();
      socket.destroy();
    },
  };
}
