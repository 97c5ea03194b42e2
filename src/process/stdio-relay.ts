/**
 * Makes descriptors 0-2 safe to be inherited by a guest. Whoever holds a descriptor can open it again through
 * /proc/self/fd with another mode: a file becomes writable, a directory leads to `..`, and a pipe of the operator's shell
 * takes bytes in the wrong direction. So only a terminal and /dev/null pass as they are; everything else is relayed through
 * a pipe of ours.
 */
import { fstatSync, type Stats, statSync } from "node:fs";
import { isatty } from "node:tty";
import { type Clock, systemClock } from "../base/clock.ts";
import { HostError, messageOf, systemCode, UsageError } from "../base/errors.ts";
import { type Logger, silentLogger } from "../base/log.ts";
import { Scope } from "../base/scope.ts";
import type { Exec, StdioEntry } from "./exec.ts";
import { openPipes, type Pipe } from "./pipes.ts";
import { openSink, openSource, Pump } from "./pump.ts";
import { settlesWithin } from "./terminate.ts";

/** How long a pipe may stay open without a byte after the guest has ended, in milliseconds. */
export const RELAY_IDLE_MS = 2_000;

/** Descriptors that a guest may inherit. Disposing stops the relays at once and drops what is under way. */
export interface SafeStdio extends AsyncDisposable {
  /** To be passed on as it is: a copy does not count as safe. */
  readonly stdio: StdioTuple;
  /** One of the three is a terminal. */
  readonly hasTerminal: boolean;
  /**
   * To be called when the guest has ended, before its status is reported: writes out what it wrote. Throws HostError
   * `host.disk-full` or UsageError `usage.path` when some of it could not be written.
   */
  finish(): Promise<void>;
}

export interface SafeStdioOptions {
  /** A private directory for the moment in which the pipes may need a name. */
  readonly dir: string;
  readonly exec: Exec;
  readonly searchPath: string;
  /** The descriptors to make safe; default our own 0-2. */
  readonly descriptors?: readonly [number, number, number];
  /**
   * `share` passes a terminal on; `hide` does not: input from it is /dev/null, because reading it would wait for somebody, and
   * output to it goes through a pipe. Default `share`.
   */
  readonly terminal?: "share" | "hide";
  readonly log?: Logger;
  readonly clock?: Clock;
}

interface Relay {
  /** Descriptors of the guest that this relay serves. */
  readonly guestFds: readonly number[];
  readonly ourFd: number;
  readonly info: Stats;
}

/** Opens the relays that are needed. Throws UsageError `usage.path` for a descriptor that no guest may have. */
export async function openSafeStdio(options: SafeStdioOptions): Promise<SafeStdio> {
  const { descriptors = [0, 1, 2], log = silentLogger, clock = systemClock } = options;
  const isShared = options.terminal !== "hide";
  const relays = planRelays(descriptors, isShared);
  const stdio: [StdioEntry, StdioEntry, StdioEntry] = [...descriptors];
  if (!isShared && isatty(descriptors[0])) stdio[0] = "ignore";
  await using scope = new Scope({ clock, stepDeadlineMs: RELAY_IDLE_MS });
  const pipes = await openPipes(relays.length, options);
  for (const pipe of pipes) scope.use("pipe", pipe);
  const pumps = relays.map((relay, index) => {
    const pipe = at(pipes, index);
    for (const guestFd of relay.guestFds) stdio[guestFd] = guestEnd(pipe, guestFd);
    return scope.use("pump", openPump(relay, pipe, log));
  });
  const owned = scope.move();
  owned.defer("safety", () => void openTuples.delete(stdio));
  openTuples.add(stdio);
  return {
    stdio: Object.freeze(stdio),
    hasTerminal: isShared && descriptors.some((fd) => isatty(fd)),
    finish: () => {
      openTuples.delete(stdio);
      return finish(pipes, pumps, clock);
    },
    [Symbol.asyncDispose]: () => owned[Symbol.asyncDispose](),
  };
}

const isInput = (guestFd: number): boolean => guestFd === 0;

function guestEnd(pipe: Pipe, guestFd: number): number {
  return isInput(guestFd) ? pipe.readEnd : pipe.writeEnd;
}

function openPump(relay: Relay, pipe: Pipe, log: Logger): Pump {
  const { ourFd, info, guestFds } = relay;
  if (guestFds.some(isInput)) {
    return new Pump(openSource(ourFd, info), pipe.takeWriter(), { direction: "in", log });
  }
  return new Pump(pipe.takeReader(), openSink(ourFd, info), { direction: "out", log });
}

/** Two outputs to the same place share a relay, so that what the guest wrote keeps its order. */
function planRelays(
  descriptors: readonly [number, number, number],
  isShared: boolean,
): readonly Relay[] {
  const relays = descriptors.map((ourFd, guestFd) => {
    const info = fstatSync(ourFd);
    checkKind(info, guestFd);
    return { guestFds: [guestFd], ourFd, info };
  });
  const [input, output, errors] = relays.map((relay) =>
    isPassed(relay, isShared) ? undefined : relay,
  );
  if (output === undefined || errors === undefined || !isSamePlace(output.info, errors.info)) {
    return [input, output, errors].filter((relay) => relay !== undefined);
  }
  return [input, { ...output, guestFds: [1, 2] }].filter((relay) => relay !== undefined);
}

function isSamePlace(a: Stats, b: Stats): boolean {
  return a.dev === b.dev && a.ino === b.ino;
}

function checkKind(info: Stats, guestFd: number): void {
  if (!info.isDirectory()) return;
  const name = ["standard input", "standard output", "standard error"][guestFd];
  throw new UsageError(
    "usage.path",
    `${name} is a directory; a file, pipe or terminal is expected`,
    {
      hint: "redirect it from a file, or from /dev/null",
    },
  );
}

/** A terminal that is hidden is relayed where the guest writes, and /dev/null where it would read. */
function isPassed(relay: Relay, isShared: boolean): boolean {
  if (!isShared && isatty(relay.ourFd)) return relay.guestFds.some(isInput);
  return isHarmless(relay);
}

function isHarmless({ ourFd, info }: { readonly ourFd: number; readonly info: Stats }): boolean {
  if (!info.isCharacterDevice()) return false;
  return isatty(ourFd) || info.rdev === statSync("/dev/null").rdev;
}

/** A guest's descriptors 0-2. */
type StdioTuple = readonly [StdioEntry, StdioEntry, StdioEntry];

/** What {@link openSafeStdio} gave out and nobody has finished or disposed: a closed descriptor's number comes back for something else. */
const openTuples = new WeakSet<StdioTuple>();

/**
 * True for descriptors that a guest may inherit: the very tuple of a {@link SafeStdio} that is still open, or one whose descriptors
 * of ours are all terminals or /dev/null. No look at a descriptor can tell a pipe of ours from one of the operator's.
 */
export function isSafeStdio(stdio: StdioTuple): boolean {
  if (openTuples.has(stdio)) return true;
  return stdio.every((entry, guestFd) => {
    const ourFd = entry === "inherit" ? guestFd : entry;
    return typeof ourFd !== "number" || isHarmless({ ourFd, info: fstatSync(ourFd) });
  });
}

async function finish(pipes: readonly Pipe[], pumps: readonly Pump[], clock: Clock): Promise<void> {
  for (const pipe of pipes) pipe.closeGuestEnds();
  const failures = await Promise.all(pumps.map((pump) => finishPump(pump, clock)));
  const first = failures.find((failure) => failure !== undefined);
  if (first !== undefined) throw outputError(first);
}

/** Resolves with the failure of an output, if it had one. */
async function finishPump(pump: Pump, clock: Clock): Promise<unknown> {
  if (pump.direction === "out") await waitForOutput(pump, clock);
  // What the guest has not read is not wanted any more, and what comes now is not the guest's.
  pump.stop();
  await settlesWithin(pump.done, RELAY_IDLE_MS, clock);
  return pump.direction === "out" ? pump.failure : undefined;
}

/** A process that left the guest could hold the pipe for ever; a reader of ours may take all the time it likes. */
async function waitForOutput(pump: Pump, clock: Clock): Promise<void> {
  for (let seen = -1; seen !== pump.bytes || pump.isHeldBack; ) {
    seen = pump.bytes;
    if (await settlesWithin(pump.done, RELAY_IDLE_MS, clock)) return;
  }
}

function outputError(cause: unknown): Error {
  const code = systemCode(cause) ?? messageOf(cause);
  if (code === "ENOSPC" || code === "EDQUOT") {
    return new HostError("host.disk-full", `output not written: ${code}; it ends early`, {
      cause,
      hint: "free some space and run it again",
    });
  }
  return new UsageError("usage.path", `output not written: ${code}; it ends early`, {
    cause,
    hint: "redirect the output to another place",
  });
}

function at<T>(list: readonly T[], index: number): T {
  const item = list[index];
  if (item === undefined) throw new RangeError(`no element ${index}`);
  return item;
}
