/** Gives a session of guest-init the operator's own descriptors, where bytes are moved and no terminal is shared. */
import { fstatSync } from "node:fs";
import type { Readable } from "node:stream";
import type { Logger } from "../../base/log.ts";
import type { StdioEntry } from "../../process/exec.ts";
import { openSink, openSource, Pump } from "../../process/pump.ts";
import type { LaunchContext, Session } from "../contract.ts";

/** A `pipe` session whose streams lead to the descriptors; it ends when its output is written. */
export function joinDescriptors(
  session: Session,
  stdio: LaunchContext["stdio"],
  log: Logger,
): Session {
  const [input, output, errors] = stdio.map((entry, fd) => descriptorOf(entry, fd));
  joinInput(session, input, log);
  const written = Promise.all([
    joinOutput(session.stdout, output, log),
    joinOutput(session.stderr, errors, log),
  ]);
  const exited = session.exited.then(async (status) => {
    await written;
    return status;
  });
  const kill = (signal: NodeJS.Signals): void => session.kill(signal);
  return { pid: session.pid, stdin: undefined, stdout: undefined, stderr: undefined, exited, kill };
}

/** The operator's input ends the program's; a program that has ended wants no more of it. */
function joinInput(session: Session, fd: number | undefined, log: Logger): void {
  const { stdin } = session;
  if (stdin === undefined) return;
  if (fd === undefined) {
    stdin.end();
    return;
  }
  const pump = new Pump(openSource(fd, fstatSync(fd)), stdin, { direction: "in", log });
  void pump.done.then(() => stdin.end());
  const stop = (): void => pump.stop();
  void session.exited.then(stop, stop);
}

async function joinOutput(
  stream: Readable | undefined,
  fd: number | undefined,
  log: Logger,
): Promise<void> {
  if (stream === undefined) return;
  if (fd === undefined) {
    stream.resume();
    return;
  }
  await new Pump(stream, openSink(fd, fstatSync(fd)), { direction: "out", log }).done;
}

/** The descriptor of ours that an entry stands for; undefined where it is /dev/null. */
export function descriptorOf(entry: StdioEntry, fd: number): number | undefined {
  if (entry === "inherit") return fd;
  return typeof entry === "number" ? entry : undefined;
}
