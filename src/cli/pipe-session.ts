/**
 * Joins our stdin, stdout and stderr to a program in a bottle, byte by byte. A reader of ours that leaves is told to the program
 * as the system would: SIGPIPE.
 */
import { pipeline } from "node:stream/promises";
import { systemCode } from "../base/errors.ts";
import { ignore } from "../base/log.ts";
import type { Session } from "../index.ts";
import type { ExitStatus } from "../process/exec.ts";

/** Signals that are passed on: what a person or a supervisor sends to end or steer a program. */
const PASSED_SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"] as const;

/** Carries everything until the program has ended. Rejects when the bottle is gone. */
export async function pipeSession(
  session: Session,
  options: { readonly hasStdin: boolean },
): Promise<ExitStatus> {
  const stopPassing = passSignals(session);
  const feeding = options.hasStdin ? feed(session) : undefined;
  if (!options.hasStdin) session.stdin?.end();
  try {
    const [exit] = await Promise.all([
      session.exited,
      drain(session, session.stdout, process.stdout),
      drain(session, session.stderr, process.stderr),
    ]);
    return exit;
  } finally {
    stopPassing();
    process.stdin.destroy();
    session.stdin?.destroy();
    await feeding;
  }
}

function passSignals(session: Session): () => void {
  const pass = (signal: NodeJS.Signals): void => session.kill(signal);
  for (const signal of PASSED_SIGNALS) process.on(signal, pass);
  return () => {
    for (const signal of PASSED_SIGNALS) process.off(signal, pass);
  };
}

/** A program may end without reading its input; that is its right, and its exit status tells. */
async function feed({ stdin }: Session): Promise<void> {
  if (stdin === undefined) return;
  await ignore(pipeline(process.stdin, stdin), "the exit status tells");
}

async function drain(
  session: Session,
  source: Session["stdout"],
  target: NodeJS.WriteStream,
): Promise<void> {
  if (source === undefined) return;
  try {
    await pipeline(source, target, { end: false });
  } catch (error) {
    if (systemCode(error) === "EPIPE") session.kill("SIGPIPE");
    // A bottle that is gone ends its streams early; `exited` rejects with the reason.
    else if (systemCode(error) !== "ERR_STREAM_PREMATURE_CLOSE") throw error;
  }
}
