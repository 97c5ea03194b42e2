/** A session on the operator's terminal: smolvm's exec moves keys and text, a bridge beside it tells the size. */
import { isatty } from "node:tty";
import type { Child } from "../../../process/exec.ts";
import type { LaunchContext, Session, SessionOptions } from "../../contract.ts";
import { descriptorOf } from "../../shared/join-descriptors.ts";
import { onTerminalResize, readTerminalSize } from "../../shared/terminal-size.ts";
import { forwardEnv, type Machine, tryScript } from "./machine.ts";
import { renderTerminal } from "./render.ts";
import { ResizeBridge } from "./resize-bridge.ts";
import { RESIZE_SCRIPT, TERMINAL_SCRIPT } from "./scripts.ts";

/** What a session on a terminal is made of. */
export interface TerminalParts {
  readonly machine: Machine;
  readonly context: Pick<LaunchContext, "ports" | "stdio">;
  /** Uid, gid and limit on processes of the guest's programs. */
  readonly rights: readonly [string, string, string];
  /** Everything the program's environment holds. */
  readonly env: Readonly<Record<string, string>>;
  /** Tells sessions of one guest apart. */
  readonly number: number;
}

/** Starts a program on the terminal. It has been found in the guest before: a shell there says 127 for any failure. */
export async function startTerminal(
  options: SessionOptions,
  parts: TerminalParts,
): Promise<Session> {
  const { machine, context, rights, env, number } = parts;
  const { smolvm, name } = machine;
  const pidFile = `/run/bot-bottle/session-${number}.pid`;
  const file = await forwardEnv(machine, env);
  const script = ["/bin/sh", "-c", TERMINAL_SCRIPT, "sh", file, ...rights, pidFile, options.cwd];
  const argv = renderTerminal(smolvm.features, name, [...script, ...options.argv]);
  const child = await context.ports.exec.start(smolvm.argv(argv), {
    env: smolvm.env,
    cwd: "/",
    stdio: context.stdio,
    placement: "foreground",
    name: "smolvm-exec",
  });
  const bridge = openBridge(parts);
  const end = (): void => bridge[Symbol.dispose]();
  void child.exited.then(end, end);
  return {
    pid: child.pid,
    stdin: undefined,
    stdout: undefined,
    stderr: undefined,
    exited: child.exited,
    kill: (signal) => void sendSignal(child, signal, { machine, pidFile }),
  };
}

/** Whichever descriptor is the terminal is asked for its size. */
function openBridge({ machine, context }: TerminalParts): Disposable {
  const { clock, log } = context.ports;
  const fd = [1, 0, 2]
    .map((it) => descriptorOf(context.stdio[it] ?? "ignore", it))
    .find(isTerminal);
  return new ResizeBridge({
    readSize: () => readTerminalSize(fd ?? 1),
    onChange: onTerminalResize,
    tell: async ({ rows, columns }) => {
      await tryScript(machine, [RESIZE_SCRIPT, "sh", String(rows), String(columns)]);
    },
    clock,
    log,
  });
}

const isTerminal = (fd: number | undefined): boolean => fd !== undefined && isatty(fd);

interface SignalInput {
  readonly machine: Machine;
  readonly pidFile: string;
}

/** A client that is killed takes the program with it at once, so that any other signal goes another way: by the pid that it left. */
async function sendSignal(
  child: Child,
  signal: NodeJS.Signals,
  { machine, pidFile }: SignalInput,
): Promise<void> {
  if (signal === "SIGKILL") {
    child.kill(signal);
    return;
  }
  const script = 'kill -s "$1" "$(cat "$2")"';
  const result = await tryScript(machine, [script, "sh", signal.slice(3), pidFile]);
  if (result.exitCode !== 0) child.kill(signal);
}
