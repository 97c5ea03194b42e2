// A real guest-init as a plain child of the test, connected to a real init door.
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Session, SessionOptions } from "../../src/backends/contract.ts";
import { type GuestLink, openGuestLink } from "../../src/backends/shared/guest-link.ts";
import { openInitDoor } from "../../src/backends/shared/init-door.ts";
import { parseGuestPath } from "../../src/base/ids.ts";

const root = join(import.meta.dirname, "../..");
const SOURCE = join(root, "src/guest-init/main.ts");
const BUILT = join(root, "dist/guest-init.js");

/** The Node that runs guest-init: an image may bring an older one than ours, from 20 on. It cannot run the sources. */
const NODE = process.env["GUEST_NODE"] ?? process.execPath;

/** Ways to run guest-init that exist here. */
export const PROGRAMS: readonly (readonly [string, string])[] = [
  ...(NODE === process.execPath ? ([["source", SOURCE]] as const) : []),
  ...(existsSync(BUILT) ? ([["built", BUILT]] as const) : []),
];

/** A guest-init and our link to it. */
export interface TestGuest extends AsyncDisposable {
  readonly link: GuestLink;
  readonly child: ChildProcess;
  readonly dir: string;
  readonly doorPath: string;
  /** What it wrote to its own descriptors. */
  readonly written: () => string;
  readonly gone: Promise<number | null>;
}

export interface TestGuestOptions {
  readonly program?: string;
  readonly relays?: readonly { readonly port: number; readonly socket: string }[];
  readonly env?: Readonly<Record<string, string>>;
}

/** Starts guest-init and waits until it is ready. */
export async function openTestGuest(options: TestGuestOptions = {}): Promise<TestGuest> {
  const dir = await mkdtemp(join(tmpdir(), "guest-init-"));
  const doorPath = join(dir, "init.sock");
  const door = await openInitDoor(doorPath);
  const child = spawn(
    NODE,
    ["--no-warnings", options.program ?? PROGRAMS[0]?.[1] ?? SOURCE, doorPath],
    {
      env: { GUEST_INIT_OWN: "must not reach a session" },
      stdio: ["ignore", "pipe", "pipe"],
    },
  );
  let written = "";
  for (const stream of [child.stdout, child.stderr])
    stream?.on("data", (chunk: Buffer) => (written += chunk.toString()));
  const gone = new Promise<number | null>((resolve) => child.once("exit", resolve));
  const socket = await door.accept({ timeoutMs: 20_000 });
  const env = { PATH: "/usr/bin:/bin", HELLO: "from hello", ...options.env };
  const link = await openGuestLink(socket, {
    env,
    relays: options.relays ?? [],
    home: parseGuestPath(dir),
  }).catch(async (error: unknown) => {
    child.kill("SIGKILL");
    await rm(dir, { recursive: true, force: true });
    throw error;
  });
  return {
    link,
    child,
    dir,
    doorPath,
    written: () => written,
    gone,
    [Symbol.asyncDispose]: async () => {
      link.destroy();
      await gone;
      await rm(dir, { recursive: true, force: true });
    },
  };
}

/** Options of a session in the guest's home with pipes. */
export function program(
  argv: readonly string[],
  options: Partial<SessionOptions> = {},
): SessionOptions {
  return { argv, env: {}, cwd: parseGuestPath("/"), stdio: "pipe", ...options };
}

/** Runs a program to its end and gives what it wrote. */
export async function run(
  guest: TestGuest,
  argv: readonly string[],
  options: Partial<SessionOptions> = {},
): Promise<Ran> {
  const session = await guest.link.session(program(argv, options));
  session.stdin?.end();
  const [stdout, stderr, exit] = await Promise.all([
    textOf(session, "stdout"),
    textOf(session, "stderr"),
    session.exited,
  ]);
  return { stdout, stderr, ...exit };
}

export interface Ran {
  readonly stdout: string;
  readonly stderr: string;
  readonly exitCode: number | undefined;
  readonly signal: string | undefined;
}

async function textOf(session: Session, kind: "stdout" | "stderr"): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of session[kind] ?? []) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}
