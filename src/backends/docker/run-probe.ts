/** Runs one short program in a container that has nothing, and takes its output. Whatever comes of it, the container is gone after. */
import { randomBytes } from "node:crypto";
import type { Readable } from "node:stream";
import type { HostPath } from "../../base/ids.ts";
import { passingLabels } from "../../base/labels.ts";
import { ignore } from "../../base/log.ts";
import type { ContainerBody, Engine, HostConfigBody, MountBody } from "../../engine/contract.ts";
import { ownershipLabels } from "../../process/ownership.ts";

/** Time for a container to start, say its line and end; a busy machine takes some of it. */
const PROBE_MS = 30_000;
/** Time for a container that removes itself to be gone. */
const LEAVE_MS = 5_000;
const MAX_OUTPUT_BYTES: number = 64 * 1024;
const MEMORY_BYTES: number = 512 * 1024 * 1024;

/** What is run. */
export interface ProbeRun {
  readonly cacheDir: HostPath;
  readonly image: string;
  readonly argv: readonly [string, ...string[]];
  readonly mounts?: readonly MountBody[];
  readonly runtime?: string | undefined;
  readonly user?: string;
  readonly signal?: AbortSignal | undefined;
}

/** How it went. */
export interface ProbeRunResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs it. Throws LaunchError when the container cannot be made or started, TimeoutError, or the signal's reason. */
export async function runProbe(engine: Engine, run: ProbeRun): Promise<ProbeRunResult> {
  const name = `bot-bottle-probe-${randomBytes(6).toString("hex")}`;
  const options = { signal: run.signal, timeoutMs: PROBE_MS };
  try {
    await engine.containers.create(name, renderProbe(run), options);
    const stream = await engine.containers.attach(name, { ...options, tty: false, stdin: false });
    const output = Promise.all([readText(stream.stdout), readText(stream.stderr)]);
    void ignore(output, "told below, or by what failed first");
    const exited = engine.containers.wait(name, "next-exit", options);
    void ignore(exited, "told below, or by what failed first");
    await engine.containers.start(name, options);
    const exitCode = await exited;
    const [stdout, stderr] = await output;
    return { exitCode, stdout, stderr };
  } finally {
    await ignore(engine.containers.remove(name), "a probe's container removes itself as well");
    // Its image can be removed only after it.
    const gone = engine.containers.wait(name, "removed", { timeoutMs: LEAVE_MS });
    await ignore(gone, "it is gone already");
  }
}

function renderProbe(run: ProbeRun): ContainerBody {
  const [program, ...rest] = run.argv;
  const runtime: HostConfigBody = run.runtime === undefined ? {} : { Runtime: run.runtime };
  return {
    Image: run.image,
    Entrypoint: [program],
    Cmd: rest,
    // What the image sets is for its programs, not for ours.
    Env: ["NODE_OPTIONS="],
    User: run.user ?? "65534:65534",
    WorkingDir: "/",
    Labels: passingLabels("probe", ownershipLabels(run.cacheDir)),
    AttachStdout: true,
    AttachStderr: true,
    Healthcheck: { Test: ["NONE"] },
    HostConfig: {
      ...runtime,
      // Also when nobody is left to remove it.
      AutoRemove: true,
      NetworkMode: "none",
      ReadonlyRootfs: true,
      CapDrop: ["ALL"],
      SecurityOpt: ["no-new-privileges"],
      IpcMode: "private",
      Memory: MEMORY_BYTES,
      MemorySwap: MEMORY_BYTES,
      PidsLimit: 64,
      Mounts: run.mounts ?? [],
      LogConfig: { Type: "none" },
    },
  };
}

/** Reads to the end and keeps the beginning. */
async function readText(stream: Readable): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  stream.on("data", (chunk: Buffer) => {
    if (size < MAX_OUTPUT_BYTES) chunks.push(chunk);
    size += chunk.length;
  });
  await new Promise<void>((resolve, reject) => {
    stream.once("end", resolve);
    stream.once("close", resolve);
    stream.once("error", reject);
  });
  return Buffer.concat(chunks).toString("utf8").slice(0, MAX_OUTPUT_BYTES);
}
