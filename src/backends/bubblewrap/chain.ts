/**
 * Starts the chain of programs that ends in guest-init, and learns the host pid of the guest's first process. Descriptors
 * 3-6 of the chain are for bubblewrap alone.
 */
import { closeSync, openSync } from "node:fs";
import type { Readable } from "node:stream";
import * as z from "zod/mini";
import { withDeadline } from "../../base/deadline.ts";
import { LaunchError, messageOf } from "../../base/errors.ts";
import { parseJson } from "../../base/json.ts";
import { once } from "../../base/once.ts";
import type { Child, StdioEntry } from "../../process/exec.ts";
import type { BackendPorts } from "../contract.ts";
import type { RenderedBubblewrap } from "./render.ts";

/** Milliseconds for bubblewrap to set the guest up: it takes 15, a busy machine a hundred times that. */
export const MAX_SETUP_MS = 15_000;
/** Longest report of bubblewrap about its child; it writes about 300 bytes. */
const MAX_INFO_BYTES = 16_384;
/** SIGTERM to SIGKILL for the chain: bubblewrap has nothing to save. */
const CHAIN_GRACE_MS = 500;

export interface ChainOptions {
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly rendered: RenderedBubblewrap;
  readonly filter: Buffer;
  readonly stdio: readonly [StdioEntry, StdioEntry, StdioEntry];
  readonly terminal: "shared" | "separate";
  readonly ports: BackendPorts;
}

/** Spawns the chain; its own complaints go to our log and into errors. */
export async function startChain(options: ChainOptions): Promise<Child> {
  const [stdin, stdout, stderr] = options.stdio;
  // Node opens nothing for an ignored descriptor above 2.
  const nullDevice = stderr === "ignore" ? openSync("/dev/null", "w") : undefined;
  try {
    const child = await options.ports.exec.start(options.command, {
      name: "bwrap",
      cwd: "/",
      env: options.env,
      log: options.ports.log,
      graceMs: CHAIN_GRACE_MS,
      stdio: [stdin, stdout, "pipe", "pipe", "pipe", "pipe", nullDevice ?? stderr],
      placement: options.terminal === "shared" ? "foreground" : "group",
    });
    child.pipe(3)?.end(options.rendered.args.map((argument) => `${argument}\0`).join(""));
    child.pipe(4)?.end(options.filter);
    return child;
  } finally {
    if (nullDevice !== undefined) closeSync(nullDevice);
  }
}

const infoSchema = once(() => z.object({ "child-pid": z.int().check(z.gte(2)) }));

/** Waits for bubblewrap's word on its child: the host pid of the guest's first process. Throws LaunchError. */
export async function readGuestPid(child: Child, signal: AbortSignal | undefined): Promise<number> {
  const info = child.pipe(5);
  if (info === undefined)
    throw new LaunchError("launch.backend", "bubblewrap has no descriptor to report on");
  const ended = child.exited.then(() => {
    throw setupFailure(child, "it ended before the guest was made");
  });
  try {
    const report = readObject(info).then((text) => (text.endsWith("}") ? text : ended));
    const text = await withDeadline(Promise.race([report, ended]), {
      what: "bubblewrap to set the guest up",
      timeoutMs: MAX_SETUP_MS,
      signal,
    });
    const parsed = infoSchema().safeParse(parseJson(text));
    if (parsed.success) return parsed.data["child-pid"];
    throw setupFailure(child, "its report names no child");
  } catch (error) {
    if (error instanceof SyntaxError) throw setupFailure(child, "its report is not JSON");
    throw error;
  } finally {
    info.destroy();
  }
}

/** Up to the closing brace: an outer bubblewrap keeps the descriptor open. Without one, nothing was reported. */
async function readObject(info: Readable): Promise<string> {
  let text = "";
  for await (const chunk of info.iterator({ destroyOnReturn: false })) {
    text += String(chunk);
    if (text.includes("}") || text.length > MAX_INFO_BYTES) break;
  }
  return text.slice(0, text.indexOf("}") + 1);
}

/** The error of a chain that did not make a guest, with what it said. */
export function setupFailure(child: Child, seen: string, cause?: unknown): LaunchError {
  const stderr = child.stderrTail();
  const said = stderr.at(-1);
  const message = `bubblewrap could not make the guest: ${said ?? seen}`;
  return new LaunchError("launch.backend", message, {
    hint: "run bot-bottle doctor",
    details: { stderr, ...(cause === undefined ? {} : { cause: messageOf(cause) }) },
    cause,
  });
}
