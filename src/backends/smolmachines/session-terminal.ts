/**
 * A session on the operator's terminal: smolvm's own exec makes a terminal in the guest and passes size, keys and signals of the
 * keyboard through. Values of variables travel in the environment of our child by name, never in an argument.
 */
import { LaunchError } from "../../base/errors.ts";
import type { Child, Exec } from "../../process/exec.ts";
import type { LaunchContext, Session, SessionOptions } from "../contract.ts";
import { hasFlag } from "./features.ts";
import type { Smolvm } from "./smolvm.ts";
import { SESSION_SCRIPT } from "./start-script.ts";

/** Prefix of the names under which values reach smolvm. */
const VALUE_PREFIX = "BOT_BOTTLE_VALUE_";
/** Guest's variables of no value to anyone; they go as they are. */
const PLAIN = /^(?:TERM|COLORTERM|LANG|LC_[A-Z]+|TZ|NO_COLOR)$/;
const SIGNAL_MS = 20_000;

/** What a session on a terminal is made of. */
export interface TerminalParts {
  readonly smolvm: Smolvm;
  readonly machine: string;
  readonly exec: Exec;
  readonly stdio: LaunchContext["stdio"];
  /** Uid, gid and limit on processes of the guest's programs. */
  readonly rights: readonly [string, string, string];
  /** Everything the program's environment holds. */
  readonly env: Readonly<Record<string, string>>;
  /** Tells sessions of one guest apart. */
  readonly number: number;
}

/** Starts a program on the terminal. It has been found in the guest before: a shell there says 127 for any failure. */
export async function startOnTerminal(
  options: SessionOptions,
  parts: TerminalParts,
): Promise<Session> {
  const pidFile = `/run/bot-bottle/session-${parts.number}.pid`;
  const { smolvm, exec } = parts;
  const child = await exec.start(smolvm.argv(renderTerminalExec(options, parts, pidFile)), {
    env: { ...smolvm.env, ...valuesOf(parts.env) },
    cwd: "/",
    stdio: parts.stdio,
    placement: "foreground",
    name: "smolvm-exec",
  });
  return {
    pid: child.pid,
    stdin: undefined,
    stdout: undefined,
    stderr: undefined,
    exited: child.exited,
    kill: (signal) => void sendSignal(child, signal, { parts, pidFile }),
  };
}

/** Arguments of the exec; only names of variables are in it, and those values that describe the terminal. */
export function renderTerminalExec(
  options: Pick<SessionOptions, "argv" | "cwd">,
  parts: Pick<TerminalParts, "smolvm" | "machine" | "rights" | "env">,
  pidFile: string,
): readonly string[] {
  const { smolvm, machine, rights, env } = parts;
  const names = Object.keys(env);
  return [
    ...["machine", "exec", "--name", machine, "--interactive", "--tty"],
    ...(hasFlag(smolvm.features, "exec", "user") ? ["--user", "0:0"] : []),
    ...names.flatMap((name) =>
      PLAIN.test(name)
        ? ["--env", `${name}=${env[name]}`]
        : ["--secret-env", `${name}=${VALUE_PREFIX}${name}`],
    ),
    ...["--", "/bin/sh", "-c", SESSION_SCRIPT, "sh", ...rights, pidFile, options.cwd],
    ...options.argv,
  ];
}

function valuesOf(env: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(env)
      .filter(([name]) => !PLAIN.test(name))
      .map(([name, value]) => [VALUE_PREFIX + name, value]),
  );
}

interface SignalInput {
  readonly parts: TerminalParts;
  readonly pidFile: string;
}

/** A client that is killed takes the program with it at once, so that any other signal goes another way: by the pid that it left. */
async function sendSignal(
  child: Child,
  signal: NodeJS.Signals,
  { parts, pidFile }: SignalInput,
): Promise<void> {
  if (signal === "SIGKILL") {
    child.kill(signal);
    return;
  }
  const { smolvm, machine } = parts;
  const script = `kill -s ${signal.slice(3)} "$(cat ${pidFile})"`;
  const result = await smolvm.run(
    [
      ...["machine", "exec", "--name", machine],
      ...(hasFlag(smolvm.features, "exec", "user") ? ["--user", "0:0"] : []),
      ...["--", "/bin/sh", "-c", script],
    ],
    { what: "signal", timeoutMs: SIGNAL_MS },
  );
  if (result.exitCode !== 0) child.kill(signal);
}

/** Shell command that exits 127 or 126 where `$1` cannot be executed. */
export const FIND_PROGRAM =
  'case $1 in */*) [ -e "$1" ] || exit 127; [ -x "$1" ] && [ ! -d "$1" ] || exit 126;; *) command -v -- "$1" >/dev/null || exit 127;; esac';

/** The error for a program that {@link FIND_PROGRAM} did not find. */
export function notExecutable(program: string, exitCode: number | undefined): LaunchError {
  const code = exitCode === 126 ? "EACCES" : "ENOENT";
  return new LaunchError(
    "launch.agent",
    `program ${JSON.stringify(program)} not started in the guest: ${code}`,
    { details: { code } },
  );
}
