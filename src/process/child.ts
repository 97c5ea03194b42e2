/**
 * A running child. The exit is what counts, not the end of its pipes: grandchildren can hold those. A group may outlive its
 * leader, so what remains of it is killed the moment the leader has exited.
 */
import type { ChildProcess } from "node:child_process";
import { Socket } from "node:net";
import { Duplex, type Readable, type Writable } from "node:stream";
import { type Clock, systemClock } from "../base/clock.ts";
import { messageOf } from "../base/errors.ts";
import { ignore, type Logger, silentLogger } from "../base/log.ts";
import { type Child, DEFAULT_GRACE_MS, type ExitStatus, type StartOptions } from "./exec.ts";
import type { KillSet } from "./kill-set.ts";
import { StderrTail } from "./stderr-tail.ts";
import { climbKillLadder, sendSignal, settlesWithin } from "./terminate.ts";

/** How long pipes may go on after the exit: what the child wrote is in the kernel by then, so this is generous. */
export const DRAIN_MS = 2_000;

/** What a child is watched with. */
export interface ChildContext {
  readonly name: string;
  readonly placement: NonNullable<StartOptions["placement"]>;
  readonly graceMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly log?: Logger | undefined;
  readonly clock?: Clock | undefined;
  readonly killSet?: KillSet | undefined;
}

type Pipe = Readable | Writable | null | undefined;

/** Watches a process that has been spawned. */
export class RunningChild implements Child {
  readonly pid: number;
  readonly exited: Promise<ExitStatus>;
  readonly #process: ChildProcess;
  readonly #context: ChildContext;
  readonly #gone: Promise<ExitStatus>;
  readonly #tail: StderrTail;
  #drained: Promise<void> = Promise.resolve();
  #isStderrTaken = false;
  #terminating: Promise<ExitStatus> | undefined;

  constructor(process: ChildProcess, pid: number, context: ChildContext) {
    this.#process = process;
    this.#context = context;
    this.pid = pid;
    this.#tail = new StderrTail(`[${context.name} ${pid}]`, context.log);
    this.#gone = this.#watchExit();
    this.exited = this.#gone.then((status) => this.#drained.then(() => status));
    this.#listen();
  }

  get stdin(): Writable | undefined {
    return this.#process.stdin ?? undefined;
  }

  get stdout(): Readable | undefined {
    return this.#process.stdout ?? undefined;
  }

  /** Who takes it before the next turn of the event loop reads it alone; later readers share it with the tail. */
  get stderr(): Readable | undefined {
    this.#isStderrTaken = true;
    return this.#process.stderr ?? undefined;
  }

  pipe(fd: number): (Readable & Writable) | undefined {
    const pipe = fd < 3 ? undefined : this.#pipes[fd];
    return pipe instanceof Duplex ? pipe : undefined;
  }

  stderrTail(): readonly string[] {
    return this.#tail.lines;
  }

  kill(signal: NodeJS.Signals): boolean {
    // Until Node has told of the exit the kernel keeps the pid for us, as a zombie at worst.
    if (this.#hasExited) return false;
    return sendSignal(this.#context.placement === "foreground" ? this.pid : -this.pid, signal);
  }

  terminate(graceMs: number = this.#context.graceMs ?? DEFAULT_GRACE_MS): Promise<ExitStatus> {
    this.#terminating ??= this.#climb(graceMs);
    return this.#terminating;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.terminate();
  }

  get #hasExited(): boolean {
    return this.#process.exitCode !== null || this.#process.signalCode !== null;
  }

  get #pipes(): readonly Pipe[] {
    return this.#process.stdio;
  }

  async #climb(graceMs: number): Promise<ExitStatus> {
    const target = { kill: (signal: NodeJS.Signals) => this.kill(signal), gone: this.#gone };
    await climbKillLadder(target, graceMs, this.#context.clock);
    return this.exited;
  }

  #watchExit(): Promise<ExitStatus> {
    const { placement, killSet, signal, log = silentLogger } = this.#context;
    if (placement !== "session")
      killSet?.add(this.pid, placement === "group" ? "group" : "process");
    const onAbort = (): void => void ignore(this.terminate(), "the exit is what counts", log);
    signal?.addEventListener("abort", onAbort, { once: true });
    return new Promise((resolve) => {
      this.#process.once("exit", (exitCode, signalCode) => {
        killSet?.remove(this.pid);
        // At once, while the number cannot have been given to anyone else.
        if (placement === "group") sendSignal(-this.pid, "SIGKILL");
        signal?.removeEventListener("abort", onAbort);
        this.#drained = this.#drain();
        resolve({ exitCode: exitCode ?? undefined, signal: signalCode ?? undefined });
      });
    });
  }

  /** Waits for the ends of all pipes, then lets go of those that something else still holds. */
  async #drain(): Promise<void> {
    const closed = new Promise<void>((resolve) => {
      this.#process.once("close", () => resolve());
    });
    if (await settlesWithin(closed, DRAIN_MS, this.#context.clock ?? systemClock)) return;
    for (const pipe of this.#pipes) {
      // What is buffered belongs to a slow reader, who shall have it; it must not keep this process alive.
      if (pipe instanceof Socket && pipe.readableLength > 0) pipe.unref();
      else pipe?.destroy();
    }
  }

  #listen(): void {
    const { log = silentLogger, name } = this.#context;
    for (const pipe of this.#pipes) {
      pipe?.on("error", (error) => log.debug("pipe", { name, error: messageOf(error) }));
    }
    this.#process.on("error", (error) => log.debug("child", { name, error: error.message }));
    const { stderr } = this.#process;
    if (stderr === null) return;
    setImmediate(() => {
      if (!this.#isStderrTaken) this.#tail.read(stderr);
    });
  }
}
