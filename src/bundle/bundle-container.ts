/**
 * Starts one life of a bundle as a container. The control pipe is the container's stdin and stdout, its stderr goes to the log
 * file; the engine closes its stdin when our connection ends, whoever ended us, and removes it when it exits.
 */
import { createWriteStream } from "node:fs";
import { LaunchError, messageOf } from "../base/errors.ts";
import { BOTTLE_LABEL, HOME_LABEL } from "../base/labels.ts";
import { ignore } from "../base/log.ts";
import type { ContainerBody, Engine, EngineStream } from "../engine/contract.ts";
import { engineStatus } from "../engine/failure.ts";
import type { ExitStatus } from "../process/exec.ts";
import type { BundleCarrier } from "./bundle-link.ts";
import type { BundleContext, BundlePlan } from "./contract.ts";
import { openLogFile } from "./log-file.ts";

const CONFLICT = 409;
const REMOVED_MS = 10_000;
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
    // Asked before the start: a container that is removed at once cannot be asked any more.
    const exited = watchExit(start, id, stream);
    await engine.containers.start(id);
    context.onStage?.("joined");
    return carrierOf(start, { id, stream, exited });
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
    if (engineStatus(error) !== CONFLICT) throw error;
    const found = await engine.containers.inspect(name);
    if (found === undefined) return engine.containers.create(name, body);
    const isOurs = [BOTTLE_LABEL, HOME_LABEL].every(
      (label) => found.Config.Labels[label] === body.Labels?.[label],
    );
    if (found.State.Running || !isOurs) throw nameTaken(name, error);
    await engine.containers.remove(found.Id);
    // The engine may be removing it already, in its own time.
    const removed = engine.containers.wait(found.Id, "removed", { timeoutMs: REMOVED_MS });
    await ignore(removed, "it is gone already");
    return engine.containers.create(name, body);
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
  readonly exited: Promise<ExitStatus>;
}

function watchExit(start: ContainerStart, id: string, stream: EngineStream): Promise<ExitStatus> {
  const { engine, context } = start;
  const log = createWriteStream("", { fd: openLogFile(start.plan.logFile) });
  log.on("error", (error) => context.ports.log.warn("bundle's log", { error: error.message }));
  stream.stderr.on("error", (error: Error) =>
    context.ports.log.debug("bundle's stderr", { error: error.message }),
  );
  stream.stderr.pipe(log);
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
  const { id, stream, exited } = life;
  const asked = engine.containers.inspect(id).then((it) => {
    pid = it?.State.Pid ?? 0;
  });
  void ignore(asked, "a pid is for people", context.ports.log);
  const placed = joinOutside(start, id);
  void ignore(placed, "told by whoever waits for it");
  return {
    stdin: stream.stdin,
    stdout: stream.stdout,
    exited,
    placed,
    get pid() {
      return pid;
    },
    kill: async () => {
      await engine.containers.remove(id);
      await exited;
    },
  };
}
