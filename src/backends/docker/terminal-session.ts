/**
 * A program on the operator's terminal: the engine's exec makes a terminal in the guest, with the same confinement as the
 * container's. Values of variables reach it by a file in the guest's memory that it removes: the engine never sees them.
 */
import { LaunchError } from "../../base/errors.ts";
import { type GuestPath, parseGuestPath } from "../../base/ids.ts";
import { ignore } from "../../base/log.ts";
import type { Engine } from "../../engine/contract.ts";
import type { ExitStatus } from "../../process/exec.ts";
import { quoteShell } from "../../process/quote-shell.ts";
import type {
  ArchiveItem,
  BackendPorts,
  LaunchContext,
  Session,
  SessionOptions,
} from "../contract.ts";
import type { GuestLink } from "../shared/guest-link.ts";
import { openTerminal, type Terminal } from "./terminal.ts";

/** The guest's /run is its user's own, and memory. */
const DIRECTORY = "/run";
/** Exits 127 or 126 where `$1` cannot be executed. */
const FIND =
  'case $1 in */*) [ -e "$1" ] || exit 127; [ -x "$1" ] && [ ! -d "$1" ] || exit 126;; *) command -v -- "$1" >/dev/null || exit 127;; esac';
/** Takes its variables from the file `$1`, tells its pid in `$2`, and becomes the program in the directory `$3`. */
const BECOME =
  'unset NODE_OPTIONS; . "$1" && rm -f "$1" && echo $$ >"$2" && cd "$3" && unset OLDPWD && shift 3 && exec "$@"';
const KILL = 'kill -s "$1" -- "-$(cat "$2")"';
const VARIABLE = /^[A-Za-z_][A-Za-z0-9_]*$/;
/** Time for the engine to start a program in a container. */
const START_MS = 30_000;

/** What a session on a terminal is made of. */
export interface TerminalParts {
  readonly engine: Engine;
  readonly container: string;
  readonly user: string;
  readonly link: GuestLink;
  readonly stdio: LaunchContext["stdio"];
  /** Everything the program's environment holds. */
  readonly env: Readonly<Record<string, string>>;
  /** Tells the sessions of one guest apart. */
  readonly number: number;
  readonly ports: BackendPorts;
}

/** Starts a program on the terminal. Throws LaunchError `launch.agent` when it cannot be executed. */
export async function startOnTerminal(
  options: SessionOptions,
  parts: TerminalParts,
): Promise<Session> {
  const { engine, container, user, link, number } = parts;
  await requireProgram(options, link);
  const envFile = `session-${number}.env`;
  const pidFile = `${DIRECTORY}/session-${number}.pid`;
  await link.copyIn(parseGuestPath(DIRECTORY), [envItem(envFile, renderEnvFile(parts.env))]);
  const script = ["/bin/sh", "-c", BECOME, "sh", `${DIRECTORY}/${envFile}`, pidFile, options.cwd];
  const id = await engine.execs.create(container, {
    Cmd: [...script, ...options.argv],
    Env: ["NODE_OPTIONS="],
    User: user,
    WorkingDir: "/",
    ...{ Tty: true, AttachStdin: true, AttachStdout: true, AttachStderr: true },
  });
  const terminal = await openTerminal(parts.stdio, parts.ports);
  const exited = runOn(terminal, engine, id);
  void ignore(exited, "nobody has to wait for the end of a session");
  const kill = (signal: NodeJS.Signals): void =>
    void ignore(sendSignal(link, signal, pidFile), "the program may have ended", parts.ports.log);
  return { pid: number, stdin: undefined, stdout: undefined, stderr: undefined, exited, kill };
}

/** Until the guest's end of the terminal is closed; the operator has the terminal back before the status is told. */
async function runOn(terminal: Terminal, engine: Engine, id: string): Promise<ExitStatus> {
  const { execs } = engine;
  try {
    const stream = await execs.start(id, { tty: true, stdin: true, timeoutMs: START_MS });
    await terminal.join(stream, (size) => execs.resize(id, size));
  } finally {
    await terminal[Symbol.asyncDispose]();
  }
  const { ExitCode: exitCode } = await execs.inspect(id);
  return { exitCode: exitCode ?? 1, signal: undefined };
}

async function requireProgram(options: SessionOptions, link: GuestLink): Promise<void> {
  const program = options.argv[0] ?? "";
  const argv = ["/bin/sh", "-c", FIND, "sh", program];
  const { exitCode } = await (await link.session({ ...options, argv, stdio: "null" })).exited;
  if (exitCode === 0) return;
  const code = exitCode === 126 ? "EACCES" : "ENOENT";
  throw new LaunchError(
    "launch.agent",
    `program ${JSON.stringify(program)} not started in the guest: ${code}`,
    { details: { code } },
  );
}

/** Shell text that sets and exports variables; names that a shell cannot have are left out. Pure. */
export function renderEnvFile(env: Readonly<Record<string, string>>): string {
  return Object.entries(env)
    .filter(([name]) => VARIABLE.test(name))
    .map(([name, value]) => `export ${name}=${quoteShell(value)}\n`)
    .join("");
}

function envItem(path: string, text: string): ArchiveItem {
  const content = Buffer.from(text);
  return {
    entry: { kind: "entry", type: "file", path, mode: 0o600, size: content.length },
    content: chunk(content),
  };
}

async function* chunk(content: Buffer): AsyncGenerator<Uint8Array> {
  yield content;
}

async function sendSignal(link: GuestLink, signal: NodeJS.Signals, pidFile: string): Promise<void> {
  const argv = ["/bin/sh", "-c", KILL, "sh", signal.slice("SIG".length), pidFile];
  const cwd: GuestPath = parseGuestPath("/");
  const session = await link.session({ argv, env: {}, cwd, stdio: "null" });
  await session.exited;
}
