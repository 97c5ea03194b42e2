/** Starts a guest's container, holds its input as the lease, and greets guest-init, whose input and output are the owner's connection. */
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { constants } from "node:os";
import { BottleError, LaunchError, messageOf, systemCode } from "../../base/errors.ts";
import { ignore } from "../../base/log.ts";
import type { Engine, EngineStream, ExecBody } from "../../engine/contract.ts";
import type { ExitStatus } from "../../process/exec.ts";
import { type ProcessIdentity, readStartTime } from "../../process/identity.ts";
import type { GuestPlan, LaunchContext } from "../contract.ts";
import { type GuestLink, openGuestLink } from "../shared/guest-link.ts";

/** Milliseconds for a started container's guest-init to answer: it takes 60, a busy machine a hundred times that. */
const READY_MS = 30_000;
/** Bytes of what guest-init says when its start fails. */
const MAX_STDERR_BYTES = 4_096;
/** Exit statuses above this stand for the signal that is the rest. */
const SIGNAL_BASE = 128;

/** A container that runs, and its guest-init that answered. */
export interface RunningContainer {
  readonly link: GuestLink;
  readonly ended: Promise<ExitStatus>;
  /** Its first process, where it is one of this kernel's. */
  readonly first: ProcessIdentity | undefined;
  /** Pid of its guest-init, where it is one of this kernel's. */
  readonly initPid: number | undefined;
  /** The container's input: when it is destroyed, or we end, the container ends. */
  readonly lease: EngineStream;
}

export interface StartInput {
  /** Id of the container. */
  readonly container: string;
  readonly plan: GuestPlan;
  readonly context: LaunchContext;
  /** How the engine starts guest-init. */
  readonly init: ExecBody;
  readonly env: Readonly<Record<string, string>>;
}

/** Throws LaunchError with what the container said; the caller removes the container then. */
export async function startContainer(engine: Engine, input: StartInput): Promise<RunningContainer> {
  const { container, context } = input;
  const { signal } = context;
  const { containers } = engine;
  const lease = await containers.attach(container, { tty: false, stdin: true, signal });
  const saidFirst = keepEnd(lease);
  let saidInit = (): string => "";
  lease.stdout.resume();
  const opened: EngineStream[] = [lease];
  try {
    // Asked for before the start, so that the end is not missed. It goes with the engine's connections.
    const ended = endOf(containers.wait(container, "next-exit"));
    const started = containers.start(container, { signal });
    // Not before: until then the engine works for us, and needs its processor.
    context.onStarting?.();
    await started;
    const id = await engine.execs.create(container, input.init, { signal });
    const stream = await engine.execs.start(id, { tty: false, stdin: true, signal });
    opened.push(stream);
    saidInit = keepEnd(stream);
    const over = endBeforeAnswer(engine, { id, stream, ended });
    const [link, first] = await Promise.all([
      greet(stream, input, over),
      findFirst(engine, container),
    ]);
    const { Pid } = await engine.execs.inspect(id, { signal });
    const initPid = first === undefined || Pid <= 1 ? undefined : Pid;
    for (const { stderr } of opened) stderr.resume();
    return { link, ended, first, initPid, lease };
  } catch (error) {
    for (const each of opened) each.destroy();
    throw explain(error, saidInit() === "" ? saidFirst() : saidInit());
  }
}

interface StartedInit {
  readonly id: string;
  readonly stream: EngineStream;
  readonly ended: Promise<ExitStatus>;
}

/** How guest-init, or the container with it, ended. */
async function endBeforeAnswer(
  engine: Engine,
  { id, stream, ended }: StartedInit,
): Promise<ExitStatus> {
  const silent = once(stream.stdout, "close").then(async () => {
    const { ExitCode } = await engine.execs.inspect(id);
    return exitStatusOf(ExitCode ?? 1);
  });
  void ignore(silent, "after the start nobody asks");
  return Promise.race([ended, silent]);
}

async function greet(
  stream: EngineStream,
  { plan, context, env }: StartInput,
  ended: Promise<ExitStatus>,
): Promise<GuestLink> {
  const relays = plan.attachment === "sockets" ? plan.doors : [];
  const link = openGuestLink(
    { input: stream.stdout, output: stream.stdin },
    {
      env,
      relays: relays.map(({ port, name }) => ({ port, socket: `${plan.guestDoors}/${name}.sock` })),
      home: plan.guestHome,
      readyTimeoutMs: READY_MS,
      signal: context.signal,
      log: context.ports.log,
    },
  );
  void ignore(link, "told below, or by the container's end");
  const over = ended.then(({ exitCode, signal }): never => {
    const how = signal ?? `exit status ${exitCode}`;
    throw new LaunchError("launch.guest-init", `the guest ended before it answered: ${how}`);
  });
  void ignore(over, "after the start it is told by exited");
  return Promise.race([link, over]);
}

/** The end of the container. An engine that is gone took its containers along, or can say no more of them. */
async function endOf(waiting: Promise<number>): Promise<ExitStatus> {
  try {
    return exitStatusOf(await waiting);
  } catch (error) {
    if (!(error instanceof BottleError) && systemCode(error) === undefined) throw error;
    return { exitCode: undefined, signal: "SIGKILL" };
  }
}

/** A status above 128 is how shells and engines write a signal. Pure. */
export function exitStatusOf(code: number): ExitStatus {
  const number = code - SIGNAL_BASE;
  for (const [name, value] of Object.entries(constants.signals))
    if (value === number && isSignal(name)) return { exitCode: undefined, signal: name };
  return { exitCode: code, signal: undefined };
}

function isSignal(name: string): name is NodeJS.Signals {
  return Object.hasOwn(constants.signals, name);
}

/** The first process as this host sees it; undefined where the engine's processes are not in this kernel or namespace. */
async function findFirst(engine: Engine, container: string): Promise<ProcessIdentity | undefined> {
  const pid = (await engine.containers.inspect(container))?.State.Pid ?? 0;
  if (pid <= 1 || !existsSync(`/proc/${pid}`)) return undefined;
  // An engine in a virtual machine counts its own pids: one of ours may have that number.
  if (!readCgroup(pid).includes(container)) return undefined;
  return { pid, startTime: readStartTime(pid) ?? "" };
}

function readCgroup(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cgroup`, "utf8");
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    return "";
  }
}

/** Collects what is said on stderr until somebody asks. */
function keepEnd(stream: EngineStream): () => string {
  let text = "";
  stream.stderr.on("data", (chunk: Buffer) => {
    text = (text + chunk.toString("utf8")).slice(-MAX_STDERR_BYTES);
  });
  stream.stderr.on("error", () => undefined);
  stream.stdout.on("error", () => undefined);
  return () => text.trim();
}

function explain(error: unknown, said: string): unknown {
  if (said === "" || !(error instanceof LaunchError)) return error;
  const message = `${messageOf(error)}; it said: ${JSON.stringify(said.slice(0, 500))}`;
  const { code, hint, details } = error satisfies BottleError;
  return new LaunchError(code === "launch.guest-init" ? code : "launch.backend", message, {
    hint,
    details,
    cause: error,
  });
}
