/** Starts guest-init in a machine by smolvm's exec and waits for it at its door. The exec lives as long as guest-init does. */
import type { Socket } from "node:net";
import { LaunchError } from "../../../base/errors.ts";
import { ignore } from "../../../base/log.ts";
import type { Child, ExitStatus } from "../../../process/exec.ts";
import type { GuestPlan, LaunchContext } from "../../contract.ts";
import { lastWords } from "../explain.ts";
import { renderRights } from "../render.ts";
import type { TcpInitDoor } from "./init-door.ts";
import { forwardEnv, KILLED, type Machine } from "./machine.ts";
import { renderShell } from "./render.ts";
import { GUEST_INIT_SCRIPT, TOKEN_FILE } from "./scripts.ts";

/** Time for guest-init to connect; Node starts on a machine that has just booted. */
const CONNECT_MS = 120_000;
/** The machine ends by our hand, not by its workload's. */
const END = "self";
const COMPLAINT = /^(?:guest(?:-init)?: |Error: )/;

/** What starting needs. */
export interface StartInit {
  readonly plan: GuestPlan;
  readonly context: LaunchContext;
  readonly machine: Machine;
  readonly door: TcpInitDoor;
}

/** A guest-init that has connected. */
export interface RunningInit {
  readonly socket: Socket;
  /** smolvm's exec that holds it. */
  readonly child: Child;
}

/** Starts it, once more when it was killed right away. Throws LaunchError `launch.guest-init`, or the signal's reason. */
export async function startInit(start: StartInit): Promise<RunningInit> {
  const stop = new AbortController();
  const { signal } = start.context;
  const either = signal === undefined ? stop.signal : AbortSignal.any([stop.signal, signal]);
  const accepted = start.door.accept({ timeoutMs: CONNECT_MS, signal: either });
  void ignore(accepted, "told by the race below");
  try {
    const first = await race(start, accepted);
    if ("socket" in first) return first;
    const second = first.exitCode === KILLED ? await race(start, accepted) : first;
    if ("socket" in second) return second;
    throw endedEarly(start.plan, second);
  } finally {
    stop.abort();
  }
}

type Ended = ExitStatus & { readonly said: string | undefined };

async function race(start: StartInit, accepted: Promise<Socket>): Promise<RunningInit | Ended> {
  const child = await startExec(start);
  const ended = child.exited.then((status) => ({ ...status, said: complaintOf(child) }));
  try {
    const first = await Promise.race([accepted, ended]);
    return "exitCode" in first ? first : { socket: first, child };
  } catch (error) {
    child.kill("SIGKILL");
    throw error;
  }
}

/** What our own programs or Node complained of; a stack trace ends with words that say nothing. */
function complaintOf(child: Child): string | undefined {
  const lines = child.stderrTail();
  return lines.findLast((line) => COMPLAINT.test(line)) ?? lines.at(-1);
}

async function startExec({ plan, context, machine, door }: StartInit): Promise<Child> {
  const { smolvm, name } = machine;
  const file = await forwardEnv(machine, { BOT_BOTTLE_INIT_TOKEN: door.token });
  const rights = renderRights(plan, smolvm.access);
  const target = `${door.target}:${TOKEN_FILE}`;
  const script = [GUEST_INIT_SCRIPT, "guest-init", file, ...rights, END, target];
  return context.ports.exec.start(smolvm.argv(renderShell(smolvm.features, name, script)), {
    env: smolvm.env,
    cwd: "/",
    stdio: ["ignore", "ignore", "pipe"],
    name: "smolvm-exec",
  });
}

function endedEarly({ image }: GuestPlan, { exitCode, signal, said }: Ended): LaunchError {
  const words = lastWords(said ?? "");
  const why = words === undefined ? (signal ?? `exit status ${exitCode}`) : `it says "${words}"`;
  const where = image?.kind === "dockerfile" ? `: edit ${image.dockerfile}` : "";
  const hint = why.includes("no Node.js")
    ? `add Node.js 20 or later to the image${where}`
    : "run bot-bottle doctor";
  return new LaunchError(
    "launch.guest-init",
    `the guest's first process ended before it answered: ${why}`,
    { hint },
  );
}
