/** Which Node runs guest-init in an image: the image's own, else ours, else none does and the bottle is refused. */
import * as z from "zod/mini";
import { HostError, LaunchError, messageOf } from "../../base/errors.ts";
import type { HostPath } from "../../base/ids.ts";
import type { Engine } from "../../engine/contract.ts";
import { cached } from "./cache.ts";
import { bind, GUEST_NODE, type GuestNode } from "./render.ts";
import { runProbe } from "./run-probe.ts";

/** Oldest Node that runs guest-init. */
const MIN_MAJOR = 20;
/** The shell is asked too: it is the guest's first process. */
const PRINT = 'exec "$0" -p "process.execPath + \' \' + process.versions.node"';
/** How runtimes say that the program is missing. */
const NO_SHELL = /\/bin\/sh\b.{0,80}no such file/;
const ANSWER = /^(\/\S+) (\d+)\.\d+\.\d+\s*$/;

const kept = z.object({ path: z.string().check(z.startsWith("/")), isOurs: z.boolean() });

export interface ImageNodeInput {
  /** Id of the image. */
  readonly image: string;
  /** The image's name, for people. */
  readonly reference: string;
  readonly nodePath: HostPath;
  readonly cacheDir: HostPath;
  readonly signal: AbortSignal | undefined;
}

/** Finds the Node of an image; asked once per image. Throws HostError `host.node-missing` with what to add to the Dockerfile. */
export async function findImageNode(engine: Engine, input: ImageNodeInput): Promise<GuestNode> {
  const { image, nodePath, cacheDir } = input;
  return cached(cacheDir, { key: ["node", image, nodePath], schema: kept }, async () => {
    const own = await ask(engine, input, "node");
    if (own.path !== undefined) return { path: own.path, isOurs: false };
    const ours = await ask(engine, input, GUEST_NODE);
    if (ours.path !== undefined) return { path: GUEST_NODE, isOurs: true };
    throw refusal(input, own.reason, ours.reason);
  });
}

interface Found {
  readonly path: string | undefined;
  readonly reason: string;
}

async function ask(engine: Engine, input: ImageNodeInput, node: string): Promise<Found> {
  const { image, nodePath, cacheDir, signal } = input;
  const mounts = node === GUEST_NODE ? [bind(nodePath, GUEST_NODE, "ro")] : [];
  try {
    const argv = ["/bin/sh", "-c", PRINT, node] as const;
    const { exitCode, stdout, stderr } = await runProbe(engine, {
      cacheDir,
      image,
      argv,
      mounts,
      signal,
    });
    const [, path, major] = ANSWER.exec(stdout) ?? [];
    if (exitCode === 0 && path !== undefined && Number(major) >= MIN_MAJOR)
      return { path, reason: "" };
    const seen = path === undefined ? firstLine(stderr) : `Node ${major} at ${path}`;
    return { path: undefined, reason: seen === "" ? `exit status ${exitCode}` : seen };
  } catch (error) {
    if (!(error instanceof LaunchError)) throw error;
    const said = messageOf(error);
    return { path: undefined, reason: NO_SHELL.test(said) ? "it has no /bin/sh" : said };
  }
}

function refusal(input: ImageNodeInput, own: string, ours: string): HostError {
  const seen = own === ours ? own : `its own Node: ${own}; ours in it: ${ours}`;
  const message = `image "${input.reference}" cannot run guest-init: ${seen}; a shell and Node ${MIN_MAJOR} or newer are expected`;
  const hint = ours.includes("/bin/sh")
    ? "use an image with a shell: its Dockerfile may begin with FROM node:24-bookworm-slim"
    : "add to its Dockerfile: COPY --from=node:24-bookworm-slim /usr/local/bin/node /usr/local/bin/node";
  return new HostError("host.node-missing", message, { hint });
}

function firstLine(text: string): string {
  return text.trim().split("\n")[0]?.slice(0, 300) ?? "";
}
