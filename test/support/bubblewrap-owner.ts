// Runs test/fixtures/programs/bubblewrap-owner.ts, as root or as an ordinary user, and speaks with it.
import { type ChildProcess, spawn } from "node:child_process";
import { chownSync } from "node:fs";
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { build } from "esbuild";

export type Mode = "root" | "user";

/** A host uid that nobody has, for guests of root. */
export const GUEST_HOST_UID = 71_234;
const ORDINARY_UID = 65_534;
const ROOT = join(import.meta.dirname, "../..");

/** What a command in the guest did. */
export interface Outcome {
  readonly stdout: string;
  readonly stderr: string;
  readonly status: { readonly exitCode?: number; readonly signal?: string };
}

// biome-ignore format: one line each
export type Message = Readonly<Record<string, unknown>>;

/** Modes that can be tried by whoever runs the tests. */
export function modesHere(): readonly Mode[] {
  return userInfo().uid === 0 ? ["root", "user"] : ["user"];
}

/** Makes guest-init as one file that every user can read. */
export async function buildGuestInit(directory: string): Promise<string> {
  const outfile = join(directory, "guest-init.js");
  await build({
    entryPoints: [join(ROOT, "src/guest-init/main.ts")],
    ...{ outfile, bundle: true, platform: "node", format: "esm", logLevel: "error" },
  });
  await chmod(directory, 0o755);
  await chmod(outfile, 0o644);
  return outfile;
}

/** A process that owns one guest. */
export class OwnerProcess implements AsyncDisposable {
  readonly directory: string;
  readonly child: ChildProcess;
  readonly messages: Message[] = [];
  #waiting: (() => void)[] = [];
  stderr = "";

  constructor(directory: string, child: ChildProcess) {
    this.directory = directory;
    this.child = child;
    child.stderr?.on("data", (chunk: Buffer) => {
      this.stderr += chunk.toString();
    });
    createInterface({ input: child.stdout! }).on("line", (line) => {
      this.messages.push(JSON.parse(line) as Message);
      this.#wake();
    });
    child.once("exit", () => this.#wake());
  }

  /** The first message, from `from` on, that has `key`. */
  async wait(key: string, from = 0): Promise<Message> {
    for (;;) {
      const found = this.messages.slice(from).find((message) => key in message);
      if (found !== undefined) return found;
      const last = this.messages.at(-1);
      if (this.child.exitCode !== null || this.child.signalCode !== null) {
        throw new Error(`the owner ended without "${key}": ${JSON.stringify(last)} ${this.stderr}`);
      }
      if (last !== undefined && "failed" in last)
        throw new Error(`launch failed: ${JSON.stringify(last)}`);
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  async ask(order: Message, key: string): Promise<Message> {
    const from = this.messages.length;
    this.child.stdin!.write(`${JSON.stringify(order)}\n`);
    return this.wait(key, from);
  }

  /** Runs a command in the guest to its end. */
  async run(...argv: string[]): Promise<Outcome> {
    return (await this.ask({ argv }, "status")) as unknown as Outcome;
  }

  async sh(script: string): Promise<Outcome> {
    return this.run("/bin/sh", "-c", script);
  }

  /** Host pids of the guest, from what the owner recorded. */
  resources(): { processes: { pid: number; startTime: string }[]; cgroups: string[] } {
    const last = this.messages.findLast((message) => "resources" in message);
    return last?.["resources"] as ReturnType<OwnerProcess["resources"]>;
  }

  async close(): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) {
      const gone = new Promise((resolve) => this.child.once("exit", resolve));
      // Where it has ended meanwhile its pipe is closed, and "exit" is on its way.
      this.child.stdin!.on("error", () => undefined).write('{"close":true}\n');
      await gone;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
    await rm(this.directory, { recursive: true, force: true });
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

export interface OwnerOptions {
  readonly guestInit: string;
  readonly [name: string]: unknown;
}

/** Starts an owner; does not wait for the guest. `stdio` from descriptor 3 up is the owner's. */
export async function startOwner(
  mode: Mode,
  options: OwnerOptions,
  extra: readonly number[] = [],
): Promise<OwnerProcess> {
  const directory = await mkdtemp(join(tmpdir(), "bwrap-"));
  const isRoot = userInfo().uid === 0;
  if (isRoot && mode === "user") chownSync(directory, ORDINARY_UID, ORDINARY_UID);
  const uid = String(ORDINARY_UID);
  const drop =
    isRoot && mode === "user" ? ["setpriv", "--reuid", uid, "--regid", uid, "--clear-groups"] : [];
  const settings = { ...options, ...(mode === "root" ? { hostUid: GUEST_HOST_UID } : {}) };
  const program = join(ROOT, "test/fixtures/programs/bubblewrap-owner.ts");
  const own = [process.execPath, program, directory, JSON.stringify(settings)];
  const [file, ...args] = drop.length === 0 ? own : [...drop, ...own];
  const child = spawn(file ?? process.execPath, args, {
    stdio: ["pipe", "pipe", "pipe", ...extra],
    env: { PATH: "/usr/bin:/bin", LAUNCHER_SECRET: "launcher-environment-canary" },
  });
  return new OwnerProcess(directory, child);
}
