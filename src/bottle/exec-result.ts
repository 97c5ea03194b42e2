/** Collects a session's output within a bound. */
import { pipeline } from "node:stream/promises";
import type { Session } from "../backends/contract.ts";
import { LaunchError } from "../base/errors.ts";
import { type ExitStatus, MAX_OUTPUT_BYTES } from "../process/exec.ts";

/** Result of one command in a bottle. */
export interface ExecResult extends ExitStatus {
  readonly stdout: Buffer;
  readonly stderr: Buffer;
}

/** Feeds `input` and gathers both outputs. Throws LaunchError when an output is over MAX_OUTPUT_BYTES; the program is then killed. */
export async function collectSession(
  session: Session,
  input: string | Uint8Array | undefined,
): Promise<ExecResult> {
  const feeding = session.stdin === undefined ? undefined : feed(session, input);
  try {
    const [stdout, stderr, exit] = await Promise.all([
      gather(session.stdout),
      gather(session.stderr),
      session.exited,
    ]);
    return { ...exit, stdout, stderr };
  } catch (error) {
    session.kill("SIGKILL");
    throw error;
  } finally {
    await feeding;
  }
}

async function feed(session: Session, input: string | Uint8Array | undefined): Promise<void> {
  if (session.stdin === undefined) return;
  try {
    await pipeline(input === undefined ? [] : [Buffer.from(input)], session.stdin);
  } catch (error) {
    // A program may end without reading its input; that is its right, and its exit status tells.
    void error;
  }
}

async function gather(stream: AsyncIterable<Uint8Array> | undefined): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of stream ?? []) {
    size += chunk.length;
    if (size > MAX_OUTPUT_BYTES) {
      throw new LaunchError(
        "launch.agent",
        `output over ${MAX_OUTPUT_BYTES} bytes; at most that is collected`,
        {
          hint: "use start() and read the stream, or write to a file and copy it out",
        },
      );
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
