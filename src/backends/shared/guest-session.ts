/** One program running in the guest, as the owner sees it: started once, exited once, in that order. */
import { constants } from "node:os";
import type { Readable, Writable } from "node:stream";
import { withDeadline } from "../../base/deadline.ts";
import { ignore } from "../../base/log.ts";
import type { ExitStatus } from "../../process/exec.ts";
import type { GuestOrder, GuestReport } from "../../protocol/guest.ts";
import type { Mux } from "../../protocol/mux.ts";
import type { Channel } from "../../protocol/mux-channel.ts";
import type { Session, SessionOptions } from "../contract.ts";
import { goneError, notStarted, unexpected } from "./guest-failure.ts";

/** Time for a program to be executed; a machine that swaps may need some of it. */
const START_MS = 30_000;

/** What a session is started with; without a `cwd` in the one that whoever takes the order has for its agent. */
export interface OrderedSession extends Omit<SessionOptions, "cwd"> {
  readonly cwd: SessionOptions["cwd"] | undefined;
}

/** Starts a program. Throws LaunchError `launch.agent` with details.code when it cannot be executed. */
export async function startSession(
  mux: Mux<GuestReport, GuestOrder>,
  options: OrderedSession,
): Promise<Session> {
  const session = new GuestSession(mux, options);
  session.start(options);
  await withDeadline(session.started, {
    what: `"${options.argv[0]}" to start in the guest`,
    timeoutMs: START_MS,
    undo: () => session.kill("SIGKILL"),
  });
  return session;
}

class GuestSession implements Session {
  pid = 0;
  readonly stdin: Writable | undefined;
  readonly stdout: Readable | undefined;
  readonly stderr: Readable | undefined;
  readonly exited: Promise<ExitStatus>;
  readonly started: Promise<void>;
  readonly #channel: Channel<GuestOrder>;
  readonly #program: string;
  readonly #start = Promise.withResolvers<void>();
  readonly #exit = Promise.withResolvers<ExitStatus>();

  constructor(mux: Mux<GuestReport, GuestOrder>, options: OrderedSession) {
    this.#program = JSON.stringify(options.argv[0] ?? "");
    this.started = this.#start.promise;
    this.exited = this.#exit.promise;
    void ignore(this.exited, "nobody has to wait for the end of a session");
    void ignore(this.started, "told by startSession");
    this.#channel = mux.openChannel({
      onMessage: (report) => this.#report(report),
      onLost: () => this.#fail(goneError()),
    });
    if (options.stdio !== "pipe") return;
    this.stdin = this.#channel.writable("stdin");
    this.stdout = this.#channel.readable("stdout");
    this.stderr = this.#channel.readable("stderr");
  }

  start(options: OrderedSession): void {
    const { argv, env, cwd = "", stdio } = options;
    try {
      this.#channel.send({ kind: "exec", argv: [...argv], env: { ...env }, cwd, stdio });
    } catch (error) {
      this.#channel.close();
      throw error;
    }
  }

  kill(signal: NodeJS.Signals): void {
    this.#channel.send({ kind: "signal", signal });
  }

  #report(report: GuestReport): void {
    if (report.kind === "started" && this.pid === 0) {
      this.pid = report.pid;
      this.#start.resolve();
    } else if (report.kind === "exited" && this.pid !== 0) {
      this.#exit.resolve(exitStatus(report));
      this.#channel.close();
    } else if (report.kind === "failed") {
      this.#fail(notStarted(this.#program, report));
      this.#channel.close();
    } else {
      throw unexpected(report, "for a session");
    }
  }

  #fail(error: Error): void {
    this.#start.reject(error);
    this.#exit.reject(error);
  }
}

function exitStatus(report: Extract<GuestReport, { kind: "exited" }>): ExitStatus {
  const { code, signal } = report;
  if (signal === null && code !== null) return { exitCode: code, signal: undefined };
  if (signal !== null && code === null && isSignal(signal)) return { exitCode: undefined, signal };
  throw unexpected(report, "without exactly one of code and signal");
}

function isSignal(name: string): name is NodeJS.Signals {
  return Object.hasOwn(constants.signals, name);
}
