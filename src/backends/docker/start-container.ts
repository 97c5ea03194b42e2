/** Starts a guest's container and greets guest-init on its input and output, which are the owner's connection and lease. */
import { existsSync, readFileSync } from "node:fs";
import { constants } from "node:os";
import { type BottleError, LaunchError, messageOf, systemCode } from "../../base/errors.ts";
import { ignore } from "../../base/log.ts";
import type { Engine, EngineStream } from "../../engine/contract.ts";
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
}

export interface StartInput {
  /** Id of the container. */
  readonly container: string;
  readonly plan: GuestPlan;
  readonly context: LaunchContext;
  readonly env: Readonly<Record<string, string>>;
}

/** Throws LaunchError with what the container said; the caller removes the container then. */
export async function startContainer(engine: Engine, input: StartInput): Promise<RunningContainer> {
  const { container, context } = input;
  const { signal } = context;
  const { containers } = engine;
  const stream = await containers.attach(container, { tty: false, stdin: true, signal });
  const said = keepEnd(stream);
  try {
    // Asked for before the start, so that the end is not missed. It goes with the engine's connections.
    const ended = endOf(containers.wait(container, "next-exit"));
    const started = containers.start(container, { signal });
    // Not before: until then the engine works for us, and needs its processor.
    context.onStarting?.();
    await started;
    const [link, first] = await Promise.all([
      greet(stream, input, ended),
      findFirst(engine, container),
    ]);
    stream.stderr.resume();
    return { link, ended, first };
  } catch (error) {
    stream.destroy();
    throw explain(error, said());
  }
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
  } catch {
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
