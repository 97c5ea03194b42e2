/** A running guest in a container: the link to guest-init, and the container that ends with it. */
import { isatty } from "node:tty";
import { ignore } from "../../base/log.ts";
import type { ContainerBody, Engine, EngineStream, ExecBody } from "../../engine/contract.ts";
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
import { descriptorOf, joinDescriptors } from "../shared/join-descriptors.ts";
import { releaseName } from "./image-name.ts";
import { inspectProcess, inspectRecord } from "./isolation.ts";
import { keeperOf } from "./render.ts";
import { startOnTerminal } from "./terminal-session.ts";

/** Time for guest-init to end its sessions: it gives each round of them 2 s. After it the guest is killed. */
const SHUTDOWN_MS = 5_000;
/** Time for a program on the terminal to end when it is asked to. */
const TERMINAL_GRACE_MS = 2_000;
/** Time for a killed container to be gone; the engine removes it after that by itself. */
const GONE_MS = 10_000;

/** Time for a process that we killed ourselves to be gone; a paused container's does not go. */
const OWN_KILL_MS = 1_000;
const OWN_KILL_STEP_MS = 2;

/** What a guest is made of. */
export interface GuestParts {
  readonly plan: GuestPlan;
  readonly context: LaunchContext;
  readonly engine: Engine;
  /** Id of the container. */
  readonly container: string;
  readonly body: ContainerBody;
  /** What guest-init was started as. */
  readonly init: ExecBody;
  /** The container's input, with which it lives. */
  readonly lease: EngineStream;
  readonly link: GuestLink;
  /** Everything a program's environment starts from. */
  readonly env: Readonly<Record<string, string>>;
  /** Settles with the container's end; never rejects. */
  readonly ended: Promise<ExitStatus>;
  /** The container's first process, where it is one of this kernel's. */
  readonly first: ProcessIdentity | undefined;
  /** Pid of guest-init, where it is one of this kernel's. */
  readonly initPid: number | undefined;
  /** The runtime is one whose containers are processes of this kernel. */
  readonly sharesKernelApi: boolean;
  readonly uid: number;
  readonly limits: LimitReport;
  readonly resources: GuestResources;
}

/** A guest in a container of its own. */
export class DockerGuest implements Guest {
  readonly exited: Promise<ExitStatus>;
  readonly #parts: GuestParts;
  #disposing: Promise<void> | undefined;
  /** Programs that have not ended. */
  #running = 0;
  #terminals = 0;
  /** Programs that guest-init does not know, because the engine started them. */
  readonly #onTerminal = new Set<Session>();

  constructor(parts: GuestParts) {
    this.#parts = parts;
    this.exited = parts.ended;
    // A guest that broke the connection is held by nobody: what is left of it must not run on.
    void parts.link.closed.then(() => this.#killUnlessClosing());
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

  async inspectIsolation(): Promise<readonly string[]> {
    const { engine, container, body, first, initPid, sharesKernelApi, uid } = this.#parts;
    const record = await engine.containers.inspect(container);
    if (record === undefined) return ["the engine has no record of the guest's container"];
    const seen = inspectRecord(record, body);
    if (first === undefined) return seen;
    const keeper = inspectProcess(first.pid, { uid: keeperOf(uid), sharesKernelApi });
    if (initPid === undefined || !sharesKernelApi) return [...seen, ...keeper];
    return [...seen, ...keeper, ...inspectProcess(initPid, { uid, sharesKernelApi })];
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#disposing ??= this.#end();
    return this.#disposing;
  }

  async #start(options: SessionOptions): Promise<Session> {
    const { link, context, plan } = this.#parts;
    if (options.stdio !== "inherit") return link.session(options);
    const { stdio, ports } = context;
    if (plan.terminal === "shared" && isTerminal(stdio, 0) && isTerminal(stdio, 1))
      return this.#startOnTerminal(options);
    const session = await link.session({ ...options, stdio: "pipe" });
    return joinDescriptors(session, stdio, ports.log);
  }

  async #startOnTerminal(options: SessionOptions): Promise<Session> {
    const { engine, container, link, context, init, env } = this.#parts;
    this.#terminals += 1;
    const session = await startOnTerminal(options, {
      ...{ engine, container, link, stdio: context.stdio, ports: context.ports },
      user: init.User ?? "",
      env: { ...env, ...options.env },
      number: this.#terminals,
    });
    this.#onTerminal.add(session);
    const forget = (): void => void this.#onTerminal.delete(session);
    void session.exited.then(forget, forget);
    return session;
  }

  /** Asks what has the terminal to end, as guest-init asks its own sessions. */
  async #endTerminals(): Promise<void> {
    const { clock, log } = this.#parts.context.ports;
    const ends = [...this.#onTerminal].map((session) => {
      session.kill("SIGTERM");
      return ignore(session.exited, "the container is killed next", log);
    });
    await settlesWithin(Promise.all(ends), TERMINAL_GRACE_MS, clock);
  }

  #killUnlessClosing(): void {
    if (this.#disposing === undefined) void this.#kill();
  }

  /** Resolves when it is dead, or when the engine has been told. */
  async #kill(): Promise<void> {
    const { engine, container, first, context } = this.#parts;
    // Where we may, without the engine: it takes its time. With the first process the kernel ends all others of the container.
    if (first !== undefined && killIfSame(first, "SIGKILL") && (await this.#isDead(first))) return;
    const killed = engine.containers.kill(container, "SIGKILL");
    await ignore(killed, "it may have ended by itself", context.ports.log);
  }

  async #isDead(first: ProcessIdentity): Promise<boolean> {
    const { clock } = this.#parts.context.ports;
    const giveUpAt = clock.monotonic() + OWN_KILL_MS;
    while (isAlive(first)) {
      if (clock.monotonic() >= giveUpAt) return false;
      await clock.sleep(OWN_KILL_STEP_MS);
    }
    return true;
  }

  /** Asks guest-init first, so that sessions can end by themselves; then kills. The engine removes what is left in its own time. */
  async #end(): Promise<void> {
    const { plan, link, engine, container, context, ended, first } = this.#parts;
    const { clock, log } = context.ports;
    if (this.#running > 0) {
      await this.#endTerminals();
      await ignore(link.shutdown(SHUTDOWN_MS), "the container is killed next", log);
    }
    await this.#kill();
    link.destroy();
    this.#parts.lease.destroy();
    const isGone = first !== undefined && !isAlive(first);
    if (!isGone && !(await settlesWithin(ended, GONE_MS, clock)))
      await engine.containers.remove(container);
    await releaseName(plan, { engine, log, container });
    engine[Symbol.dispose]();
  }
}

function isTerminal(stdio: LaunchContext["stdio"], fd: 0 | 1): boolean {
  const descriptor = descriptorOf(stdio[fd], fd);
  return descriptor !== undefined && isatty(descriptor);
}
