/**
 * Programs that run in the guest, each a child of guest-init, so that it inherits all confinement. A program's environment is
 * the hello's and the order's, never ours.
 */
import { access, constants, stat } from "node:fs/promises";
import { isAbsolute, join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { isatty } from "node:tty";
import { systemClock } from "../base/clock.ts";
import { BottleError } from "../base/errors.ts";
import type { Child, Exec, StdioEntry } from "../process/exec.ts";
import { DEFAULT_SEARCH_PATH } from "../process/find-binary.ts";
import { settlesWithin } from "../process/terminate.ts";
import type { GuestOrder, GuestReport } from "../protocol/guest.ts";
import type { Channel, ChannelHandlers } from "../protocol/mux-channel.ts";
import { failure } from "./copy.ts";

/** An order to start a program. */
export type ExecOrder = Extract<GuestOrder, { kind: "exec" }>;

/** How long a pipe that something in the background still holds may be silent after the exit before it is let go. */
const IDLE_MS = 200;
/** How long output may go on leaving after the last session has ended. */
const REPORT_MS = 1_000;
const STDIO: Readonly<Record<ExecOrder["stdio"], StdioEntry>> = {
  inherit: "inherit",
  pipe: "pipe",
  null: "ignore",
};

export interface SessionContext {
  readonly exec: Exec;
  /** What every session's environment starts from. */
  readonly env: Readonly<Record<string, string>>;
  /** Working directory of an order without one. */
  readonly home: string;
  /** False: no program inherits our descriptors 0-2. */
  readonly sharesStdio: boolean;
}

/** The running sessions. */
export class Sessions {
  readonly #context: SessionContext;
  readonly #running = new Set<Child>();
  /** Until their last report is sent. */
  readonly #reporting = new Set<Promise<void>>();

  constructor(context: SessionContext) {
    this.#context = context;
  }

  /** Starts a program and ends the channel with how it went. */
  start(channel: Channel<GuestReport>, order: ExecOrder): ChannelHandlers<GuestOrder> {
    // Asked for now: the owner may send input before the program runs.
    const input = order.stdio === "pipe" ? channel.readable("stdin") : undefined;
    const early: NodeJS.Signals[] = [];
    let kill = (signal: NodeJS.Signals): void => void early.push(signal);
    const run = this.#run(channel, order, (child) => {
      kill = (signal) => void child.kill(signal);
      early.forEach(kill);
      if (input !== undefined) feed(input, child);
    });
    this.#reporting.add(run);
    void run.then(() => this.#reporting.delete(run));
    return {
      onMessage: (message) => {
        if (message.kind === "signal" && isSignal(message.signal)) kill(message.signal);
      },
    };
  }

  /** Kills every session and its group, at once and synchronously. */
  killAll(): void {
    for (const child of this.#running) child.kill("SIGKILL");
  }

  /** Asks every session to end, and kills what is left after the grace. Resolves when all are gone and have been reported. */
  async endAll(graceMs: number): Promise<void> {
    await Promise.all([...this.#running].map((child) => child.terminate(graceMs)));
    // An owner that reads no output cannot hold us here.
    await settlesWithin(Promise.all(this.#reporting), REPORT_MS);
  }

  async #run(
    channel: Channel<GuestReport>,
    order: ExecOrder,
    onStart: (child: Child) => void,
  ): Promise<void> {
    try {
      const child = await this.#spawn(order);
      this.#running.add(child);
      channel.send({ kind: "started", pid: child.pid });
      const output = [pump(child.stdout, channel, "stdout"), pump(child.stderr, channel, "stderr")];
      onStart(child);
      const { exitCode, signal } = await child.exited;
      this.#running.delete(child);
      for (const stream of output) await stream?.drain();
      channel.send({ kind: "exited", code: exitCode ?? null, signal: signal ?? null });
    } catch (error) {
      channel.send(failure(error));
    }
    channel.close();
  }

  async #spawn(order: ExecOrder): Promise<Child> {
    const { exec, home, sharesStdio } = this.#context;
    if (order.stdio === "inherit" && !sharesStdio)
      throw new Error("descriptors 0-2 are the owner's connection: no program may inherit them");
    const env = { ...this.#context.env, ...order.env };
    const cwd = order.cwd === "" ? home : order.cwd;
    const entry = STDIO[order.stdio];
    try {
      return await exec.start(order.argv, {
        env,
        cwd,
        stdio: [entry, entry, entry],
        // Only the foreground group of the terminal gets its Ctrl-C. Elsewhere a session of its own: signals reach its group, and what it left in the background lives on.
        placement: order.stdio === "inherit" && hasTerminal() ? "foreground" : "session",
      });
    } catch (error) {
      if (!(error instanceof BottleError) || error.code !== "host.binary-missing") throw error;
      throw new NotExecutable(
        error.message,
        await refusalOf(order.argv[0] ?? "", cwd, env["PATH"]),
      );
    }
  }
}

function hasTerminal(): boolean {
  return [0, 1, 2].some((fd) => isatty(fd));
}

/** A program that cannot be executed, with the code that shells turn into 126 and 127. */
class NotExecutable extends Error {
  readonly code: "EACCES" | "ENOENT";

  constructor(message: string, code: "EACCES" | "ENOENT") {
    super(message);
    this.code = code;
  }
}

/** Why a program was not executed: it is there but may not be, or it is not there. */
async function refusalOf(
  file: string,
  cwd: string,
  searchPath: string | undefined,
): Promise<"EACCES" | "ENOENT"> {
  const paths = file.includes("/")
    ? [isAbsolute(file) ? file : join(cwd, file)]
    : (searchPath ?? DEFAULT_SEARCH_PATH).split(":").map((it) => join(it, file));
  const found = await Promise.all(paths.map(isThereButRefused));
  return found.includes(true) ? "EACCES" : "ENOENT";
}

async function isThereButRefused(path: string): Promise<boolean> {
  try {
    if ((await stat(path)).isDirectory()) return true;
  } catch {
    return false;
  }
  try {
    await access(path, constants.X_OK);
    return false;
  } catch {
    return true;
  }
}

function isSignal(name: string): name is NodeJS.Signals {
  return /^SIG[A-Z0-9]{2,9}$/.test(name);
}

/** Gives the program its input; one that does not want it has it thrown away. */
function feed(input: Readable, child: Child): void {
  const { stdin } = child;
  if (stdin === undefined) return;
  stdin.on("error", () => input.destroy());
  stdin.on("close", () => input.destroy());
  input.pipe(stdin);
}

/** Sends what the program writes. `drain` ends the stream and resolves when all of it is on its way. */
function pump(
  source: Readable | undefined,
  channel: Channel<GuestReport>,
  kind: "stdout" | "stderr",
): { drain(): Promise<void> } | undefined {
  if (source === undefined) return undefined;
  const sink = channel.writable(kind);
  let received = 0;
  source.on("data", (chunk: Buffer) => {
    received += chunk.length;
  });
  source.pipe(sink);
  return {
    drain: async () => {
      for (
        let seen = -1;
        !isOver(source, sink) && (seen !== received || sink.writableLength > 0);
      ) {
        seen = received;
        await systemClock.sleep(IDLE_MS);
      }
      source.unpipe(sink);
      source.destroy();
      sink.end();
      await settled(sink);
    },
  };
}

function isOver(source: Readable, sink: Writable): boolean {
  return source.readableEnded || source.destroyed || sink.destroyed;
}

/** Resolves when all is on its way, or when nobody is there to take it. */
function settled(sink: Writable): Promise<void> {
  return new Promise((resolve) => {
    if (sink.destroyed || sink.writableFinished) resolve();
    sink.once("finish", () => resolve());
    sink.once("close", () => resolve());
  });
}
