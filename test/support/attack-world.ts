// Real bottles on bubblewrap, each with a driver program inside that makes the attempts; as root and as an ordinary user.
import { type ChildProcess, spawn } from "node:child_process";
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { basename, join } from "node:path";
import { createInterface } from "node:readline";
import type { AuditLine } from "../../src/protocol/audit.ts";
import { type Mode, modesHere } from "./bubblewrap-owner.ts";

export { type Mode, modesHere };

const PROGRAMS = join(import.meta.dirname, "../fixtures/programs");
/** Built to one file where Node is not to strip types itself. */
const OWNER = ["attack-owner.mjs", "attack-owner.ts"]
  .map((name) => join(PROGRAMS, name))
  .find((path) => existsSync(path))!;
const ORDINARY_UID = 65_534;
const SEARCH_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin";

/** What the owner writes when a driver is gone. */
const LOST = /^driver \d+ (ended|lost)/m;

/** What an owner says of one of its bottles. */
export interface BottleFacts {
  readonly id: string;
  readonly audit: string;
  readonly run: string;
  readonly state: string;
  readonly workspace: string;
  readonly bundlePid: number;
}

/** What the driver answers. */
export interface DriverAnswer {
  readonly text?: string;
  readonly ended?: string;
  readonly outcome?: string;
  readonly code?: number | string;
  readonly stdout?: string;
  readonly stderr?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly fault?: string;
}

export interface AttackOptions {
  readonly mode: Mode;
  /** Bottle files by name, without the dashes; every bottle gets an agent of the same name. */
  readonly bottles: Readonly<Record<string, string>>;
  /** Operator's variables. */
  readonly env?: Readonly<Record<string, string>>;
  /** Files of the home, by relative path. */
  readonly files?: Readonly<Record<string, string>>;
  /** Node in the guest; default that of a guest which shows the host's files. */
  readonly node?: string;
  /** Programs of the host to put beside the driver, in /driver. */
  readonly programs?: readonly string[];
}

/** Running bottles and the way to speak with what is inside. */
export class AttackWorld implements AsyncDisposable {
  readonly root: string;
  readonly home: string;
  readonly child: ChildProcess;
  bottles: readonly BottleFacts[] = [];
  stderr = "";
  readonly #waiting = new Map<number, (answer: DriverAnswer) => void>();
  readonly #ready = Promise.withResolvers<void>();
  readonly #exited: Promise<void>;
  #next = 0;
  #onBundles: (pids: readonly number[]) => void = () => undefined;
  closed: unknown;

  constructor(root: string, child: ChildProcess) {
    this.root = root;
    this.home = join(root, "home");
    this.child = child;
    child.stderr?.on("data", (chunk: Buffer) => {
      this.stderr += chunk.toString();
      if (LOST.test(this.stderr)) this.#fail(this.stderr);
    });
    createInterface({ input: child.stdout! }).on("line", (line) => this.#hear(JSON.parse(line)));
    this.#exited = new Promise((resolve) => {
      child.once("exit", (code, signal) => {
        const why = new Error(`the owner ended with ${code ?? signal}: ${this.stderr}`);
        this.#ready.reject(why);
        this.#fail(why.message);
        resolve();
      });
    });
  }

  /** Resolves when every bottle runs. */
  ready(): Promise<void> {
    return this.#ready.promise;
  }

  /** Lets the driver of one bottle do something. */
  async ask(op: string, options: object = {}, bottle = 0): Promise<DriverAnswer> {
    if (LOST.test(this.stderr)) throw new Error(this.stderr);
    const id = (this.#next += 1);
    const answer = new Promise<DriverAnswer>((resolve) => this.#waiting.set(id, resolve));
    this.child.stdin!.write(`${JSON.stringify({ bottle, id, op, ...options })}\n`);
    const result = await answer;
    if (result.fault !== undefined) throw new Error(result.fault);
    return result;
  }

  /** Pids of the bundles as they are now: each restart makes a new one. */
  bundlePids(): Promise<readonly number[]> {
    const pids = new Promise<readonly number[]>((resolve) => (this.#onBundles = resolve));
    this.child.stdin!.write('{"bundles":true,"bottle":-1}\n');
    return pids;
  }

  /** Runs a program in a bottle. */
  run(argv: readonly string[], options: object = {}, bottle = 0): Promise<DriverAnswer> {
    return this.ask("run", { argv, ...options }, bottle);
  }

  sh(script: string, bottle = 0): Promise<DriverAnswer> {
    return this.run(["/bin/sh", "-c", script], {}, bottle);
  }

  /** The audit log of a bottle as it is now. */
  audit(bottle = 0): AuditLine[] {
    return readFileSync(this.bottles[bottle]?.audit ?? "", "utf8")
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as AuditLine);
  }

  /** Ends the bottles; what lies on disk stays until disposal. */
  async close(): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null)
      this.child.stdin!.write('{"close":true}\n');
    await this.#exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
    rmSync(this.root, { recursive: true, force: true, maxRetries: 3 });
  }

  /** Nobody will answer what was asked. */
  #fail(fault: string): void {
    for (const answer of this.#waiting.values()) answer({ fault });
    this.#waiting.clear();
  }

  #hear(message: {
    ready?: BottleFacts[];
    failed?: string;
    closed?: unknown;
    bundles?: number[];
    answer?: DriverAnswer & { id: number };
  }): void {
    if (message.ready !== undefined) {
      this.bottles = message.ready;
      this.#ready.resolve();
    }
    if (message.failed !== undefined) this.#ready.reject(new Error(JSON.stringify(message)));
    if (message.bundles !== undefined) this.#onBundles(message.bundles);
    if (message.closed !== undefined) this.closed = message.closed;
    if (message.answer === undefined) return;
    this.#waiting.get(message.answer.id)?.(message.answer);
    this.#waiting.delete(message.answer.id);
  }
}

/** Writes a home, starts its owner and waits until every bottle runs. */
export async function openAttackWorld(options: AttackOptions): Promise<AttackWorld> {
  const { mode, bottles, env = {}, files = {} } = options;
  const root = mkdtempSync(join(tmpdir(), "bb-attack-"));
  const driver = join(root, "driver");
  for (const name of ["home/bottles", "home/agents", "project", "driver"])
    mkdirSync(join(root, name), { recursive: true });
  for (const path of [join(PROGRAMS, "attack-driver.mjs"), ...(options.programs ?? [])])
    cpSync(path, join(driver, basename(path)));
  writeFileSync(join(root, "project", "README.md"), "# project\n");
  for (const [path, text] of Object.entries(files)) writeFileSync(join(root, "home", path), text);
  for (const [name, text] of Object.entries(bottles)) {
    writeFileSync(
      join(root, "home/bottles", `${name}.md`),
      `---\n${text}\nmounts: [{ host: ${driver}, guest: /driver }]\n---\n`,
    );
    writeFileSync(join(root, "home/agents", `${name}.md`), `---\nbottle: ${name}\n---\n`);
  }
  const isDropping = mode === "user" && userInfo().uid === 0;
  if (isDropping) giveTo(root, ORDINARY_UID);
  chmodSync(driver, 0o755);
  const uid = String(ORDINARY_UID);
  const drop = isDropping ? ["setpriv", "--reuid", uid, "--regid", uid, "--clear-groups"] : [];
  const settings = {
    home: join(root, "home"),
    project: join(root, "project"),
    agents: Object.keys(bottles),
    driver: [options.node ?? "/opt/bot-bottle/bin/node", "/driver/attack-driver.mjs"],
  };
  const [file, ...args] = [...drop, process.execPath, OWNER, JSON.stringify(settings)];
  const child = spawn(file, args, {
    stdio: ["pipe", "pipe", "pipe"],
    env: { PATH: SEARCH_PATH, LAUNCHER_VARIABLE: "launcher-environment-canary" },
  });
  child.stdin.write(`${JSON.stringify({ PATH: SEARCH_PATH, HOME: root, ...env })}\n`);
  const world = new AttackWorld(root, child);
  try {
    await world.ready();
    return world;
  } catch (error) {
    await world[Symbol.asyncDispose]();
    throw error;
  }
}

function giveTo(path: string, uid: number): void {
  chownSync(path, uid, uid);
  if (!statSync(path).isDirectory()) return;
  for (const name of readdirSync(path)) giveTo(join(path, name), uid);
}
