/**
 * Keeps the operator's terminal usable, whatever an agent that shares it does: nothing that its settings can send ends or
 * stops the owner, and the settings found before the launch come back before anything is written after the end.
 */
import { fstatSync, readFileSync } from "node:fs";
import { systemClock } from "../base/clock.ts";
import { systemCode } from "../base/errors.ts";
import { ignore, type Logger } from "../base/log.ts";
import type { Exec } from "../process/exec.ts";
import { sendSignal, settlesWithin } from "../process/terminate.ts";
import { isTerminal } from "./terminal.ts";

/** A terminal that does not answer is left as it is after this time, in milliseconds. */
const TERMINAL_MS = 2_000;
/** Between a stop signal and its undoing: an agent in the background gets one at each try to read. */
const RESUME_MS = 200;
const ENV = { PATH: "/usr/bin:/bin", LC_ALL: "C" } as const;
const SETTINGS = /^[0-9a-f]+(?::[0-9a-f]+)+$/;

/**
 * Without IXON output that a character stopped goes on; then what is typed or answered already is read away, until
 * nothing has come for a tenth of a second. Not waiting for output is an option that not every stty has.
 */
const RESTORE = `trap "" TTOU TTIN
now=-drain
stty $now -ixon -icanon -echo -isig min 0 time 1 2>/dev/null || {
  now=
  stty -ixon -icanon -echo -isig min 0 time 1 2>/dev/null
}
dd bs=4096 count=16 >/dev/null 2>&1
exec stty $now "$1" 2>/dev/null`;
const ONLY_SETTINGS = 'exec stty -drain "$1" 2>/dev/null';

/** Signals that keys, or an agent's settings for them, send to all that share a terminal; the owner has no use for them. */
const DEAF_TO = ["SIGQUIT", "SIGUSR1", "SIGUSR2"] as const;
const STOPS = ["SIGTSTP", "SIGTTIN", "SIGTTOU"] as const;

/** A terminal while an agent has it. Disposing restores it and listens to signals again. */
export interface TerminalGuard extends AsyncDisposable {
  /** Settles when the settings are known: no agent may start before. */
  readonly isReady: Promise<void>;
  /** To be called when nothing of the guest runs any more. Never rejects, and takes a bounded time. */
  restore(): Promise<void>;
}

export interface TerminalGuardOptions {
  /** The guest has the terminal and is in our process group. */
  readonly isShared: boolean;
  readonly exec: Exec;
  readonly log: Logger;
}

interface Saved {
  readonly fd: number;
  readonly settings: string;
}

/** Guards the terminals among our descriptors 0-2. */
export function guardTerminal(options: TerminalGuardOptions): TerminalGuard {
  const stopListening = listen(options.isShared);
  // What a shell at its prompt has set is not what a program in the foreground finds.
  const fds = options.isShared && !isInBackground() ? findTerminals() : [];
  const saved = Promise.all(fds.map((fd) => save(fd, options)));
  let restored: Promise<void> | undefined;
  const restore = async (): Promise<void> => {
    for (const terminal of await saved) {
      if (terminal === undefined || isInBackground()) continue;
      const { fd, settings } = terminal;
      const run = (script: string): Promise<string | undefined> =>
        ask(["/bin/sh", "-c", script, "sh", settings], fd, options);
      if ((await run(RESTORE)) === undefined) await run(ONLY_SETTINGS);
    }
  };
  const restoreOnce = (): Promise<void> => (restored ??= restore());
  return {
    isReady: saved.then(() => undefined),
    restore: restoreOnce,
    [Symbol.asyncDispose]: async () => {
      await restoreOnce();
      stopListening();
    },
  };
}

/** Stopping would leave a bottle without an owner, and only the owner can wake what was stopped with it. */
function listen(isShared: boolean): () => void {
  let timer: NodeJS.Timeout | undefined;
  const onDeaf = (): void => undefined;
  const onStop = (): void => {
    timer ??= setTimeout(() => {
      timer = undefined;
      sendSignal(0, "SIGCONT");
    }, RESUME_MS).unref();
  };
  const stops = isShared ? STOPS : [];
  for (const signal of DEAF_TO) process.on(signal, onDeaf);
  for (const signal of stops) process.on(signal, onStop);
  return () => {
    clearTimeout(timer);
    for (const signal of DEAF_TO) process.off(signal, onDeaf);
    for (const signal of stops) process.off(signal, onStop);
  };
}

/** One descriptor for each terminal. */
function findTerminals(): readonly number[] {
  const found = new Map<number, number>();
  for (const fd of [2, 1, 0]) if (isTerminal(fd)) found.set(fstatSync(fd).rdev, fd);
  return [...found.values()];
}

/** True when another process group has our terminal; it would be changed below another program's hands. */
function isInBackground(): boolean {
  const [group, foreground] = readGroups();
  return foreground !== undefined && foreground > 0 && foreground !== group;
}

/** Fields 5 and 8 of our own stat, counted from behind the name, which may hold blanks. */
function readGroups(): readonly (number | undefined)[] {
  try {
    const stat = readFileSync("/proc/self/stat", "utf8");
    const fields = stat
      .slice(stat.lastIndexOf(")") + 1)
      .trim()
      .split(" ")
      .map(Number);
    return [fields[2], fields[5]];
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    return [];
  }
}

async function save(fd: number, options: TerminalGuardOptions): Promise<Saved | undefined> {
  const settings = (await ask(["/bin/sh", "-c", "exec stty -g"], fd, options))?.trim();
  return settings !== undefined && SETTINGS.test(settings) ? { fd, settings } : undefined;
}

/**
 * Output of a program whose stdin is the terminal; undefined when it cannot be had in time. It is in a session of its own,
 * so no signal of the terminal reaches it.
 */
async function ask(
  argv: readonly string[],
  fd: number,
  { exec, log }: TerminalGuardOptions,
): Promise<string | undefined> {
  let output: string | undefined;
  const work = async (): Promise<void> => {
    const child = await exec.start(argv, { env: ENV, stdio: [fd, "pipe", "ignore"] });
    let text = "";
    child.stdout?.on("data", (chunk: Buffer) => (text += chunk.toString("latin1")));
    if (await settlesWithin(child.exited, TERMINAL_MS, systemClock)) output = text;
    else await child.terminate(0);
  };
  await ignore(work(), "the terminal stays as the agent left it", log);
  return output;
}
