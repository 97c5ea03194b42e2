/**
 * The guest's first process: `guest-init DOOR`. It connects to the init door before any guest code runs and does what comes
 * from there. Descriptors 0-2 are the agent's: nothing is written to them but one line when the start itself fails. As
 * `guest-init -` its input and output are the owner's connection instead, and no program may inherit them.
 */
import { connect, Socket } from "node:net";
import { closeInherited } from "../process/descriptors.ts";
import { createExec } from "../process/spawn.ts";
import type { MuxStream } from "../protocol/mux.ts";
import { parseTarget, takeGreeting } from "./door-target.ts";
import { serveOwner } from "./init.ts";
import { holdLease } from "./lease.ts";

/** Means descriptors 0 and 1 in the place of a path. */
const STDIO = "-";
/** The start failed; nothing of the guest has run. */
const EXIT_START_FAILED = 1;

function fail(why: string): void {
  process.stderr.write(`guest-init: ${why}\n`);
  process.exit(EXIT_START_FAILED);
}

function main(path: string | undefined): void {
  closeInherited();
  // Node would print its warnings on the agent's stderr.
  process.removeAllListeners("warning");
  if (path === undefined) {
    fail("the path of the init door is missing");
    return;
  }
  if (path === STDIO) {
    // Not process.stdout: it would write to a pipe synchronously, and stop all of us while the owner does not read.
    const input = new Socket({ fd: 0, readable: true, writable: false });
    const output = new Socket({ fd: 1, readable: false, writable: true });
    serve({ input, output }, false);
    return;
  }
  const greeting = takeGreeting(path);
  const door = connect(parseTarget(path));
  const onRefused = (error: Error): void =>
    fail(`not connected to the init door: ${error.message}`);
  door.once("error", onRefused);
  door.once("connect", () => {
    door.off("error", onRefused);
    door.setNoDelay(true);
    if (greeting !== "") door.write(greeting);
    serve(door, true);
  });
}

function serve(owner: MuxStream, sharesStdio: boolean): void {
  const exit = (code: number): void => process.exit(code);
  const node = process.versions.node;
  const init = serveOwner(owner, { exec: createExec(), node, exit, sharesStdio });
  holdLease({ ...init, onSignal: (signal, listener) => process.on(signal, listener), exit });
  // A bug of ours must not leave a guest that nobody holds, nor a stack trace on the agent's terminal.
  process.on("uncaughtException", init.fail);
}

main(process.argv[2]);
