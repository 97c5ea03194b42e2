/** A running machine: the link to guest-init, and smolvm's own commands for what ends with it. */
import { isatty } from "node:tty";
import type { HostPath } from "../../base/ids.ts";
import { ignore } from "../../base/log.ts";
import type { ExitStatus } from "../../process/exec.ts";
import { isAlive, killIfSame, type ProcessIdentity } from "../../process/identity.ts";
import { settlesWithin } from "../../process/terminate.ts";
import type {
  Guest,
  GuestPlan,
  GuestResources,
  LaunchContext,
  LimitReport,
  ProbeTarget,
  Session,
  SessionOptions,
} from "../contract.ts";
import type { GuestLink } from "../shared/guest-link.ts";
import { inspectMachine } from "./isolation.ts";
import type { ExpectedMachine } from "./machine-status.ts";
import { renderRights } from "./render.ts";
import { joinDescriptors } from "./session-fds.ts";
import { FIND_PROGRAM, notExecutable, startOnTerminal } from "./session-terminal.ts";
import type { Smolvm } from "./smolvm.ts";
import { removeBase, removeStateDir } from "./state-dir.ts";
import { waitUntilGone } from "./vmm.ts";

/** Time for what the guest has not yet written to reach the host's files. */
const SYNC_MS = 4_000;
/** Time for guest-init to end its sessions: it gives each round of them 2 s. */
const SHUTDOWN_MS = 4_000;
/** Time for smolvm to stop and forget the machine; after it the machine is killed. */
const DELETE_MS = 6_000;

/** What a guest is made of. */
export interface GuestParts {
  readonly plan: GuestPlan;
  readonly context: LaunchContext;
  readonly smolvm: Smolvm;
  readonly link: GuestLink;
  /** Ends the machine when we die; undefined where it cannot be held. */
  readonly lease: AsyncDisposable | undefined;
  readonly machine: ProcessIdentity;
  readonly expected: ExpectedMachine;
  readonly limits: LimitReport;
  readonly resources: GuestResources;
  readonly stateDir: HostPath;
  readonly base: HostPath | undefined;
}

/** A guest in a machine of its own. */
export class MachineGuest implements Guest {
  readonly exited: Promise<ExitStatus>;
  readonly #parts: GuestParts;
  #disposing: Promise<void> | undefined;
  #running = 0;
  #terminals = 0;

  constructor(parts: GuestParts) {
    this.#parts = parts;
    // The connection lives as long as guest-init, and what is left of the machine after that is held by nobody.
    this.exited = parts.link.closed.then(() => this.#afterEnd());
  }

  get limits(): LimitReport {
    return this.#parts.limits;
  }

  get resources(): GuestResources {
    return this.#parts.resources;
  }

  async session(options: SessionOptions): Promise<Session> {
    this.#running += 1;
    const ended = (): void => void (this.#running -= 1);
    try {
      const session = await this.#start(options);
      void session.exited.then(ended, ended);
      return session;
    } catch (error) {
      ended();
      throw error;
    }
  }

  copyIn(...args: Parameters<Guest["copyIn"]>): Promise<number> {
    return this.#parts.link.copyIn(...args);
  }

  copyOut(...args: Parameters<Guest["copyOut"]>): ReturnType<Guest["copyOut"]> {
    return this.#parts.link.copyOut(...args);
  }

  probe(target: ProbeTarget): Promise<string> {
    return this.#parts.link.probe(target);
  }

  inspectIsolation(): Promise<readonly string[]> {
    const { smolvm, machine, expected } = this.#parts;
    return inspectMachine({ smolvm, machine, expected });
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#disposing ??= this.#end();
    return this.#disposing;
  }

  async #start(options: SessionOptions): Promise<Session> {
    const { link, context } = this.#parts;
    if (options.stdio !== "inherit") return link.session(options);
    const { stdio, ports } = context;
    if (!stdio.some((entry, fd) => isTerminal(entry, fd)))
      return joinDescriptors(await link.session({ ...options, stdio: "pipe" }), stdio, ports.log);
    return this.#startOnTerminal(options);
  }

  async #startOnTerminal(options: SessionOptions): Promise<Session> {
    const { link, context, smolvm, plan, expected } = this.#parts;
    const program = options.argv[0] ?? "";
    const search = ["/bin/sh", "-c", FIND_PROGRAM, "sh", program];
    const found = await (await link.session({ ...options, argv: search, stdio: "null" })).exited;
    if (found.exitCode !== 0) throw notExecutable(program, found.exitCode);
    this.#terminals += 1;
    return startOnTerminal(options, {
      smolvm,
      machine: expected.name,
      exec: context.ports.exec,
      stdio: context.stdio,
      rights: renderRights(plan, smolvm.access),
      env: { ...context.guestEnv, ...options.env },
      number: this.#terminals,
    });
  }

  /** The first end of the guest, whoever made it: nothing of it runs on. */
  async #afterEnd(): Promise<ExitStatus> {
    const { machine, context } = this.#parts;
    if (this.#disposing === undefined) killIfSame(machine, "SIGKILL");
    await waitUntilGone(machine, context.ports);
    return { exitCode: undefined, signal: "SIGKILL" };
  }

  /** What the guest wrote reaches the host first; then guest-init ends its sessions, then the machine goes. */
  async #end(): Promise<void> {
    const { link, context, machine } = this.#parts;
    const { clock, log } = context.ports;
    if (isAlive(machine)) {
      await settlesWithin(ignore(this.#sync(), "the machine may be gone", log), SYNC_MS, clock);
      if (this.#running > 0)
        await ignore(link.shutdown(SHUTDOWN_MS), "the machine is ended next", log);
    }
    await this.#forget();
    killIfSame(machine, "SIGKILL");
    await waitUntilGone(machine, context.ports);
    link.destroy();
    await this.exited;
    await this.#parts.lease?.[Symbol.asyncDispose]();
    this.#removeFiles();
  }

  async #sync(): Promise<void> {
    const { link, plan } = this.#parts;
    const argv = ["/bin/sync"];
    const session = await link.session({ argv, env: {}, cwd: plan.guestHome, stdio: "null" });
    await session.exited;
  }

  async #forget(): Promise<void> {
    const { smolvm, expected, context } = this.#parts;
    const deleting = smolvm.run(["machine", "delete", "--name", expected.name, "--force"], {
      what: "machine not deleted",
      timeoutMs: DELETE_MS,
    });
    await ignore(deleting, "its state is removed next", context.ports.log);
  }

  #removeFiles(): void {
    removeStateDir(this.#parts.stateDir);
    if (this.#parts.base !== undefined) removeBase(this.#parts.base);
  }
}

function isTerminal(entry: LaunchContext["stdio"][number], fd: number): boolean {
  if (entry === "inherit") return isatty(fd);
  return typeof entry === "number" && isatty(entry);
}
