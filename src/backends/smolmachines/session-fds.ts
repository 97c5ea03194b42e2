/** Gives a session of guest-init the operator's own descriptors where none of them is a terminal: bytes are moved, in order. */
import { fstatSync } from "node:fs";
import type { Logger } from "../../base/log.ts";
import type { StdioEntry } from "../../process/exec.ts";
import { openSink, openSource, Pump } from "../../process/pump.ts";
import type { LaunchContext, Session } from "../contract.ts";

/** A session whose streams lead to the descriptors; its end waits until its output is written. */
export function joinDescriptors(
  session: Session,
  stdio: LaunchContext["stdio"],
  log: Logger,
): Session {
  const [input, output, errors] = stdio.map((entry, fd) => descriptorOf(entry, fd));
  const source = input === undefined ? undefined : openSource(input, fstatSync(input));
  if (session.stdin !== undefined) {
    if (source === undefined) session.stdin.end();
    else feed(new Pump(source, session.stdin, { direction: "in", log }), session);
  }
  const pumps = [
    { stream: session.stdout, fd: output },
    { stream: session.stderr, fd: errors },
  ].map(({ stream, fd }) => {
    if (stream === undefined) return Promise.resolve();
    if (fd === undefined) {
      stream.resume();
      return Promise.resolve();
    }
    return new Pump(stream, openSink(fd, fstatSync(fd)), { direction: "out", log }).done;
  });
  const exited = session.exited.then(async (status) => {
    await Promise.all(pumps);
    return status;
  });
  return {
    pid: session.pid,
    stdin: undefined,
    stdout: undefined,
    stderr: undefined,
    exited,
    kill: (signal) => session.kill(signal),
  };
}

/** The operator's input ends the program's; a program that has ended wants no more of it. */
function feed(pump: Pump, session: Session): void {
  void pump.done.then(() => session.stdin?.end());
  void session.exited.then(
    () => pump.stop(),
    () => pump.stop(),
  );
}

function descriptorOf(entry: StdioEntry, fd: number): number | undefined {
  if (entry === "inherit") return fd;
  return typeof entry === "number" ? entry : undefined;
}
