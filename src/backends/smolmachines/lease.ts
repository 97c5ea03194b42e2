/**
 * Ends a machine whose owner is gone. A machine is nobody's child, and one that has switched itself off may keep its process and
 * its memory, so that a shell waits for the end of our pipe to it.
 */
import type { Child, Exec } from "../../process/exec.ts";
import type { ProcessIdentity } from "../../process/identity.ts";

/** `$1` pid, `$2` start time: what /proc tells after the name, which may hold anything. */
const WATCH = [
  "read -r rest",
  'IFS= read -r stat <"/proc/$1/stat" || exit 0',
  "pid=$1 start=$2",
  'set -- ${stat##*") "}',
  'if [ "${20}" = "$start" ]; then kill -KILL "$pid"; fi',
].join("\n");

/** Holds a machine to this process: when we end, whatever the reason, it is killed. Disposing ends the watch alone. */
export async function openLease(
  machine: ProcessIdentity,
  exec: Exec,
): Promise<AsyncDisposable | undefined> {
  if (process.platform !== "linux") return undefined;
  const argv = ["/bin/sh", "-c", WATCH, "bot-bottle-lease", String(machine.pid), machine.startTime];
  const child = await exec.start(argv, {
    env: { PATH: "/usr/bin:/bin" },
    cwd: "/",
    stdio: ["pipe", "ignore", "ignore"],
    // What ends our process group must not end the watch first.
    placement: "session",
    name: "smolvm-lease",
  });
  return { [Symbol.asyncDispose]: () => endWatch(child) };
}

async function endWatch(child: Child): Promise<void> {
  child.kill("SIGKILL");
  await child.exited;
}
