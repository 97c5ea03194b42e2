/**
 * The guest's first process: `guest-init SOCKET`. It connects to the init door before any guest code runs and does what comes
 * from there. Descriptors 0-2 are the agent's: nothing is written to them but one line when the start itself fails.
 */
import { connect } from "node:net";
import { closeInherited } from "../process/descriptors.ts";
import { createExec } from "../process/spawn.ts";
import { serveOwner } from "./init.ts";
import { holdLease } from "./lease.ts";

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
  const exit = (code: number): void => process.exit(code);
  const door = connect(path);
  const onRefused = (error: Error): void =>
    fail(`not connected to the init door: ${error.message}`);
  door.once("error", onRefused);
  door.once("connect", () => {
    door.off("error", onRefused);
    const init = serveOwner(door, { exec: createExec(), node: process.versions.node, exit });
    holdLease({ ...init, onSignal: (signal, listener) => process.on(signal, listener), exit });
    // A bug of ours must not leave a guest that nobody holds, nor a stack trace on the agent's terminal.
    process.on("uncaughtException", init.fail);
  });
}

main(process.argv[2]);
