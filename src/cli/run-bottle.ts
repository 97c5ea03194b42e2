/** Owns one bottle for the life of its agent: launch, session, signals, teardown, and what to say at the end. */
import { tmpdir } from "node:os";
import { CancelledError, HostError } from "../base/errors.ts";
import type { Bottle, BottlePlan, CloseReport, Secrets, Session } from "../index.ts";
import { EventHub, openBottle, openOwner } from "../index.ts";
import type { ExitStatus } from "../process/exec.ts";
import { createKillSet, installKillSet } from "../process/kill-set.ts";
import { createExec } from "../process/spawn.ts";
import { openSafeStdio, type SafeStdio, type SafeStdioOptions } from "../process/stdio-relay.ts";
import { openAgentLog } from "./agent-log.ts";
import { cleanLine } from "./clean-text.ts";
import type { CommandIo } from "./command.ts";
import { openEventsFile } from "./events-file.ts";
import {
  notExecutableHint,
  notExecutableStatus,
  notExecutableText,
  signalStatus,
  statusOf,
} from "./exit.ts";
import { openOwnerLog } from "./owner-log.ts";
import { followProgress } from "./progress.ts";
import { guardTerminal } from "./terminal-guard.ts";

export interface RunOptions {
  readonly io: CommandIo;
  readonly eventsFile: string | undefined;
  readonly isHeadless: boolean;
  /** Opens a file for the agent's output instead of our descriptors: the bottle has no watcher. */
  readonly openLog?: (bottle: Bottle) => number;
  /** Opened already, while the plan was made; without them they are opened now. */
  readonly relays?: Relays | undefined;
  /** Told once the agent runs. */
  readonly onRunning?: (bottle: Bottle) => void;
}

/** How long an agent gets between the operator's SIGTERM or SIGHUP and the end of its bottle, in milliseconds. */
const STOP_GRACE_MS = 5_000;

/** Runs the plan's agent to its end and returns the exit status. */
export async function runBottle(
  plan: BottlePlan,
  secrets: Secrets,
  options: RunOptions,
): Promise<number> {
  const { io } = options;
  const killSet = createKillSet();
  using _killSet = installKillSet(killSet);
  const events = new EventHub();
  const log = openOwnerLog(plan, io.env.debug);
  const exec = createExec({ log, killSet });
  const isShared = plan.guest.terminal === "shared";
  await using terminal = guardTerminal({ isShared, exec, log });
  await using eventsFile = await openEventsFile(options.eventsFile, events, (text) =>
    io.output.note(text),
  );
  const following = followProgress(events, { output: io.output, log });
  try {
    // A bottle without a watcher never sees our descriptors.
    await using relays =
      options.relays ??
      openRelays({
        exec,
        searchPath: io.env.all["PATH"] ?? "",
        terminal: plan.guest.terminal === "shared" ? "share" : "hide",
      });
    const bottle = await openBottle(plan, {
      env: io.env.all,
      log,
      exec,
      secrets,
      signal: io.signal,
      stdio: relays.stdio.then(({ stdio }) => stdio),
      events,
      ...(io.onStep === undefined ? {} : { onStep: io.onStep }),
    });
    await terminal.isReady;
    const outcome = await ownBottle(bottle, options);
    const report = await bottle.close("the agent ended");
    // Only now: the guest's first process held the pipes, too.
    await (await relays.stdio).finish();
    await terminal.restore();
    await eventsFile.flush();
    sayEnd(plan, report, io);
    if (report.kept === undefined && isSignalStatus(outcome))
      io.output.note("bot-bottle: nothing had changed, so nothing is kept");
    sayLeft(await report.gone, io);
    if (outcome.kind === "fault") throw outcome.error;
    return outcome.status;
  } finally {
    events.end();
    await following;
  }
}

/** Relays of our descriptors that are being opened. */
export interface Relays extends AsyncDisposable {
  readonly stdio: Promise<SafeStdio>;
}

/** Opens the relays while other work goes on: a shell makes their pipes. The launch reports it when they cannot be made. */
export function openRelays(ports: Omit<SafeStdioOptions, "dir">): Relays {
  const stdio = openSafeStdio({ ...ports, dir: tmpdir() });
  const closed = stdio.then(
    (opened) => () => opened[Symbol.asyncDispose](),
    () => () => Promise.resolve(),
  );
  return { stdio, [Symbol.asyncDispose]: async () => (await closed)() };
}

type Outcome =
  | { readonly kind: "status"; readonly status: number }
  | { readonly kind: "fault"; readonly error: unknown };

async function ownBottle(bottle: Bottle, options: RunOptions): Promise<Outcome> {
  const { io } = options;
  try {
    await using owner = await openOwner(bottle);
    io.signal.throwIfAborted();
    // Before the agent has the screen: a line of ours in the middle of its own would spoil it.
    io.output.note(io.output.color.dim(`bot-bottle: ${bottle.id} is running`));
    const session = await startAgent(bottle, options.openLog);
    options.onRunning?.(bottle);
    const ended = await waitForEnd(bottle, session, options);
    void owner;
    return ended;
  } catch (error) {
    const status = notExecutableStatus(error);
    await bottle.close("the agent did not start");
    if (status === undefined) return { kind: "fault", error };
    const { agent, agentName } = bottle.plan;
    io.output.error(notExecutableText(agent.argv[0] ?? "", status));
    const how = `bot-bottle start ${agentName} --headless`;
    io.output.error(notExecutableHint(agent.argv[0] ?? "", status, how));
    return { kind: "status", status };
  }
}

async function startAgent(bottle: Bottle, openLog: RunOptions["openLog"]): Promise<Session> {
  if (openLog === undefined) return bottle.execAgent();
  const log = openAgentLog(openLog(bottle));
  const session = await bottle.execAgent({ stdio: "pipe" });
  session.stdin?.end();
  for (const stream of [session.stdout, session.stderr])
    stream?.on("data", (chunk: Uint8Array) => log.write(chunk));
  const close = (): void => log.close();
  void session.exited.then(close, close);
  return session;
}

async function waitForEnd(bottle: Bottle, session: Session, options: RunOptions): Promise<Outcome> {
  const stopped = Promise.withResolvers<Outcome>();
  const { receive, stopListening } = forwardSignals(bottle, session, {
    isHeadless: options.isHeadless,
    onStop: (outcome) => stopped.resolve(outcome),
  });
  // One that came while the agent was being started is the agent's like any other.
  const early: unknown = options.io.signal.reason;
  if (early instanceof CancelledError && early.signal !== undefined) receive(early.signal);
  const exited = session.exited.then(
    (exit: ExitStatus): Outcome => ({ kind: "status", status: statusOf(exit) }),
    (error: unknown): Promise<Outcome> =>
      bottle.closed.then((report) => ({ kind: "fault", error: report.fault ?? error })),
  );
  const closed = bottle.closed.then((report): Outcome => faultOf(report));
  try {
    return await Promise.race([exited, stopped.promise, closed]);
  } finally {
    stopListening();
  }
}

function faultOf(report: CloseReport): Outcome {
  if (report.fault !== undefined) return { kind: "fault", error: report.fault };
  return { kind: "status", status: signalStatus("SIGTERM") };
}

interface SignalOptions {
  readonly isHeadless: boolean;
  readonly onStop: (outcome: Outcome) => void;
}

/**
 * A terminal's Ctrl-C reaches the agent by itself; elsewhere SIGINT is passed on, and the second one ends the bottle at once.
 * SIGTERM asks the agent to end and closes the bottle after a grace; SIGHUP closes it: the terminal is gone.
 */
function forwardSignals(
  bottle: Bottle,
  session: Session,
  { isHeadless, onStop }: SignalOptions,
): { readonly receive: (signal: NodeJS.Signals) => void; readonly stopListening: () => void } {
  let interrupts = 0;
  let grace: NodeJS.Timeout | undefined;
  const isShared = bottle.plan.guest.terminal === "shared";
  const stop = (signal: NodeJS.Signals): void =>
    onStop({ kind: "status", status: signalStatus(signal) });
  const onInterrupt = (): void => {
    interrupts += 1;
    if (interrupts > 1 && isHeadless) stop("SIGINT");
    else if (!isShared) session.kill("SIGINT");
  };
  const onTerminate = (signal: NodeJS.Signals): void => {
    session.kill(signal);
    grace ??= setTimeout(() => stop(signal), STOP_GRACE_MS);
  };
  const receive = (signal: NodeJS.Signals): void => {
    if (signal === "SIGINT") onInterrupt();
    else onTerminate(signal);
  };
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  for (const signal of signals) process.on(signal, receive);
  const stopListening = (): void => {
    clearTimeout(grace);
    for (const signal of signals) process.off(signal, receive);
  };
  return { receive, stopListening };
}

/** Who ended an agent wants to know what became of its work. */
function isSignalStatus(outcome: Outcome): boolean {
  const signals = ["SIGINT", "SIGTERM", "SIGHUP", "SIGKILL"] as const;
  return outcome.kind === "status" && signals.some((it) => signalStatus(it) === outcome.status);
}

function sayLeft(failures: CloseReport["failures"], { output }: CommandIo): void {
  for (const { label, error } of failures) {
    const why = error instanceof HostError ? ` (${cleanLine(error.message)})` : "";
    const text = `bot-bottle: left over: ${label}${why}; run bot-bottle cleanup`;
    output.note(output.color.yellow(text));
  }
}

function sayEnd(plan: BottlePlan, report: CloseReport, io: CommandIo): void {
  const { output } = io;
  const { color } = output;
  sayLeft(report.failures, io);
  if (report.auditHead !== undefined)
    output.note(color.dim(`bot-bottle: audit log ends at ${report.auditHead}`));
  if (report.kept === undefined) return;
  output.note(`bot-bottle: work kept: ${cleanLine(report.kept)}`);
  const from = plan.workspace === undefined ? plan.guest.guestHome : plan.workspace.guestPath;
  output.note(`  bot-bottle cp ${plan.id}:${from} ./${plan.id}`);
}
