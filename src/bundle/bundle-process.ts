/** Starts a bundle as our child inside its sandbox; the control pipe is its stdin and stdout, its stderr is the log file. */
import { closeSync, readFileSync } from "node:fs";
import type { Child } from "../process/exec.ts";
import { readStartTime } from "../process/identity.ts";
import type { BundleCarrier } from "./bundle-link.ts";
import type { BundleContext, BundlePlan } from "./contract.ts";
import { openLogFile } from "./log-file.ts";

/** Starts one process from the sandbox's argv, recorded before it is used. */
export async function startBundleProcess(
  plan: BundlePlan,
  argv: readonly string[],
  context: Pick<BundleContext, "ports" | "onResources">,
): Promise<BundleCarrier> {
  const child = await startChild(plan, argv, context);
  const { stdin, stdout } = child;
  try {
    if (stdin === undefined || stdout === undefined) throw new TypeError("the pipes were not made");
    const startTime = readStartTime(child.pid) ?? "";
    await context.onResources({ processes: [{ pid: child.pid, startTime }] });
  } catch (error) {
    await child.terminate(0);
    throw error;
  }
  return {
    stdin,
    stdout,
    exited: child.exited,
    // The sandbox's processes stand above the one that holds the daemons.
    get pid() {
      return lastDescendant(child.pid);
    },
    kill: () => child.terminate(0),
  };
}

async function startChild(
  plan: BundlePlan,
  argv: readonly string[],
  context: Pick<BundleContext, "ports">,
): Promise<Child> {
  const log = openLogFile(plan.logFile);
  try {
    return await context.ports.exec.start(argv, {
      name: "bundle",
      env: {},
      stdio: ["pipe", "pipe", log],
      log: context.ports.log,
    });
  } finally {
    closeSync(log);
  }
}

/** Follows only children down: bubblewrap's monitor, its first process, then ours. */
function lastDescendant(pid: number): number {
  try {
    const [child] = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ");
    return child === undefined || child === "" ? pid : lastDescendant(Number(child));
  } catch (error) {
    void error;
    return pid;
  }
}
