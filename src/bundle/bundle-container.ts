/**
 * Starts one life of a bundle as a container. The control pipe is the container's stdin and stdout, its stderr goes to the log
 * file; the engine closes its stdin when our connection ends, whoever ended us, and removes it when it exits.
 */
import { createWriteStream } from "node:fs";
import type { Readable, Writable } from "node:stream";
import type { Clock } from "../base/clock.ts";
import { LaunchError, messageOf, TimeoutError } from "../base/errors.ts";
import { BOTTLE_LABEL, HOME_LABEL } from "../base/labels.ts";
import { ignore } from "../base/log.ts";
import type { ContainerBody, Engine, EngineStream } from "../engine/contract.ts";
import { engineStatus } from "../engine/failure.ts";
import type { ExitStatus } from "../process/exec.ts";
import { isAlive, type ProcessIdentity, readStartTime } from "../process/identity.ts";
import type { BundleCarrier } from "./bundle-link.ts";
import type { BundleContext, BundlePlan } from "./contract.ts";
import { openLogFile } from "./log-file.ts";

const CONFLICT = 409;
/** Of all that a container is made of, only its image has to be there when it is created. */
const NOT_FOUND = 404;
const REMOVED_MS = 10_000;
/** Time for a bundle of the same bottle whose end was answered a moment ago. */
const LEAVING_MS = 2_000;
/** Time for the kernel to be done with a process whose pipes are closed. */
const DEAD_MS = 200;
const DEAD_STEP_MS = 2;
/** Exit codes above this are 128 and a signal's number. */
const SIGNAL_BASE = 128;
const SIGNALS: Readonly<Record<number, NodeJS.Signals>> = {
  6: "SIGABRT",
  9: "SIGKILL",
  11: "SIGSEGV",
  15: "SIGTERM",
};

/** What one container is started from. */
export interface ContainerStart {
  readonly engine: Engine;
  readonly plan: BundlePlan;
  readonly name: string;
  readonly body: ContainerBody;
  /** Makes the network that leads outside, which is joined while the program comes up; its doors need none. */
  readonly outside: (() => Promise<{ readonly id: string }>) | undefined;
  readonly context: Pick<BundleContext, "ports" | "signal" | "onStage">;
}

/** Creates, attaches and starts. Throws LaunchError; no container is left then. */
export async function startBundleContainer(start: ContainerStart): Promise<BundleCarrier> {
  const { engine, context } = start;
  const id = await create(start);
  try {
    context.signal?.throwIfAborted();
    const stream = await engine.containers.attach(id, { tty: false, stdin: true });
    const silent = watchOutput(start, stream);
    // Asked before the start: a container that is removed at once cannot be asked any more.
    const exited = watchExit(start, id, stream);
    await engine.containers.start(id);
    context.onStage?.("joined");
    return carrierOf(start, { id, stream, silent, exited });
  } catch (error) {
    await ignore(engine.containers.remove(id), "the start's error counts", context.ports.log);
    throw error;
  }
}

/** Takes the place of a container of the same name that is this bottle's and does not run. */
async function create({ engine, name, body }: ContainerStart): Promise<string> {
  try {
    return await engine.containers.create(name, body);
  } catch (error) {
    if (engineStatus(error) === NOT_FOUND) throw imageGone(body.Image, error);
    if (engineStatus(error) !== CONFLICT) throw error;
    const found = await engine.containers.inspect(name);
    if (found === undefined) return engine.containers.create(name, body);
    const isOurs = [BOTTLE_LABEL, HOME_LABEL].every(
      (label) => found.Config.Labels[label] === body.Labels?.[label],
    );
    if (!isOurs || (found.State.Running && !(await isLeaving(engine, found.Id))))
      throw nameTaken(name, error);
    await engine.containers.remove(found.Id);
    // The engine may be removing it already, in its own time.
    const removed = engine.containers.wait(found.Id, "removed", { timeoutMs: REMOVED_MS });
    await ignore(removed, "it is gone already");
    return engine.containers.create(name, body);
  }
}

function imageGone(image: string, cause: unknown): LaunchError {
  return new LaunchError(
    "launch.image",
    `the bundle's image ${image} is not on the container engine any more: ${messageOf(cause)}`,
    { hint: "start the bottle again: its image is built when it is missing", cause },
  );
}

/** Its process has ended, and the engine will have heard it soon. */
async function isLeaving(engine: Engine, id: string): Promise<boolean> {
  try {
    await engine.containers.wait(id, "not-running", { timeoutMs: LEAVING_MS });
    return true;
  } catch (error) {
    if (error instanceof TimeoutError) return false;
    return (await engine.containers.inspect(id)) === undefined;
  }
}

function nameTaken(name: string, cause: unknown): LaunchError {
  return new LaunchError("launch.name-taken", `container ${name} exists and is in use`, {
    hint: "run bot-bottle cleanup, or docker rm -f with its name",
    cause,
  });
}

interface Life {
  readonly id: string;
  readonly stream: EngineStream;
  /** Settles when all that was written to it has been read, and nobody can write any more. */
  readonly silent: Promise<unknown>;
  readonly exited: Promise<ExitStatus>;
}

/** Keeps what it writes to stderr; what it writes to stdout is the control pipe. */
function watchOutput(
  { plan, context }: ContainerStart,
  { stdout, stderr }: EngineStream,
): Promise<unknown> {
  const { log } = context.ports;
  const file = createWriteStream("", { fd: openLogFile(plan.logFile) });
  file.on("error", (error) => log.warn("bundle's log", { error: error.message }));
  stderr.on("error", (error: Error) => log.debug("bundle's stderr", { error: error.message }));
  stderr.pipe(file);
  const closed = (stream: Readable | Writable): Promise<void> =>
    new Promise((resolve) => stream.once("close", resolve));
  return Promise.all([closed(stdout), closed(file)]);
}

function watchExit(start: ContainerStart, id: string, stream: EngineStream): Promise<ExitStatus> {
  const { engine, context } = start;
  const exited = engine.containers
    .wait(id, "next-exit")
    .then(exitStatus, async (error: unknown) => {
      context.ports.log.debug("the end of the bundle was not heard", { error: messageOf(error) });
      await ignore(engine.containers.remove(id), "the engine is gone", context.ports.log);
      return { exitCode: undefined, signal: undefined };
    });
  void exited.then(() => stream.destroy());
  return exited;
}

function exitStatus(code: number): ExitStatus {
  const signal = SIGNALS[code - SIGNAL_BASE];
  return signal === undefined ? { exitCode: code, signal } : { exitCode: undefined, signal };
}

async function joinOutside({ engine, outside }: ContainerStart, id: string): Promise<void> {
  if (outside !== undefined) await engine.networks.connect((await outside()).id, id, {});
}

function carrierOf(start: ContainerStart, life: Life): BundleCarrier {
  const { engine, context } = start;
  let pid = 0;
  let startTime: string | undefined;
  let hasEnded = false;
  const { id, stream, silent, exited } = life;
  const asked = engine.containers.inspect(id).then((it) => {
    pid = it?.State.Pid ?? 0;
    startTime = readStartTime(pid);
  });
  // The engine tells the end only when it has taken the networks away as well.
  const ended = silent.then(async () => {
    if (startTime === undefined || !(await isDead({ pid, startTime }, context.ports.clock)))
      await exited;
    hasEnded = true;
  });
  void ignore(asked, "a pid is for people", context.ports.log);
  const placed = joinOutside(start, id);
  void ignore(placed, "told by whoever waits for it");
  return {
    stdin: stream.stdin,
    stdout: stream.stdout,
    exited,
    ended,
    placed,
    get pid() {
      return pid;
    },
    kill: async () => {
      if (!hasEnded) await engine.containers.remove(id);
      await exited;
      // The engine removes it in its own time.
      const removed = engine.containers.wait(id, "removed", { timeoutMs: REMOVED_MS });
      await ignore(removed, "it is gone already", context.ports.log);
    },
  };
}

/** Its pipes are closed. Where the pid is another process's, because the engine's are not ours, it is not known to be dead. */
async function isDead(first: ProcessIdentity, clock: Clock): Promise<boolean> {
  const giveUpAt = clock.monotonic() + DEAD_MS;
  while (isAlive(first)) {
    if (clock.monotonic() >= giveUpAt) return false;
    await clock.sleep(DEAD_STEP_MS);
  }
  return true;
}
