/** A running bubblewrap guest: the link to guest-init, and the processes and groups that end with it. */
import type { Clock } from "../../base/clock.ts";
import type { GuestPath } from "../../base/ids.ts";
import { ignore } from "../../base/log.ts";
import type { Child, ExitStatus } from "../../process/exec.ts";
import { killIfSame, type ProcessIdentity } from "../../process/identity.ts";
import { settlesWithin } from "../../process/terminate.ts";
import type {
  ArchiveItem,
  BackendPorts,
  Guest,
  GuestResources,
  LimitReport,
  ProbeTarget,
  Session,
  SessionOptions,
} from "../contract.ts";
import type { GuestLink } from "../shared/guest-link.ts";
import { closeCgroup } from "./cgroup.ts";
import { type IsolationOptions, inspectIsolation } from "./isolation.ts";
import { waitUntilGone } from "./reap.ts";

/** Time for guest-init to end its sessions: it gives each round of them 2 s. After it the guest is killed. */
const SHUTDOWN_MS = 5_000;
/** Time for the processes around guest-init to follow it. */
const FOLLOW_MS = 500;

/** What a guest is made of. */
export interface GuestParts {
  readonly child: Child;
  readonly link: GuestLink;
  /** The guest's first process. */
  readonly init: ProcessIdentity;
  readonly limits: LimitReport;
  readonly resources: GuestResources;
  readonly isolation: IsolationOptions;
  /** Ends the memory watch. */
  readonly watch: AbortController;
  readonly ports: BackendPorts;
}

export class BubblewrapGuest implements Guest {
  readonly exited: Promise<ExitStatus>;
  readonly #parts: GuestParts;
  #disposing: Promise<void> | undefined;
  /** Programs that have not ended. */
  #running = 0;

  constructor(parts: GuestParts) {
    this.#parts = parts;
    this.exited = endOf(parts);
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
      const session = await this.#parts.link.session(options);
      void session.exited.then(ended, ended);
      return session;
    } catch (error) {
      ended();
      throw error;
    }
  }

  copyIn(
    root: GuestPath,
    items: AsyncIterable<ArchiveItem> | Iterable<ArchiveItem>,
  ): Promise<number> {
    return this.#parts.link.copyIn(root, items);
  }

  copyOut(root: GuestPath): AsyncIterable<ArchiveItem> {
    return this.#parts.link.copyOut(root);
  }

  probe(target: ProbeTarget): Promise<string> {
    return this.#parts.link.probe(target);
  }

  async inspectIsolation(): Promise<readonly string[]> {
    return inspectIsolation(this.#parts.isolation);
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#disposing ??= this.#end();
    return this.#disposing;
  }

  #killUnlessClosing(): void {
    if (this.#disposing === undefined) killIfSame(this.#parts.init, "SIGKILL");
  }

  /** Asks guest-init first, so that sessions can end by themselves; then kills. Where none runs, nothing waits for an end. */
  async #end(): Promise<void> {
    const { child, link, init, resources, ports } = this.#parts;
    const { clock, log } = ports;
    if (this.#running > 0) {
      await ignore(link.shutdown(SHUTDOWN_MS), "the guest is killed next", log);
      await settlesWithin(child.exited, FOLLOW_MS, clock);
    }
    killIfSame(init, "SIGKILL");
    await settlesWithin(child.exited, FOLLOW_MS, clock);
    await child.terminate();
    await waitUntilGone([init], clock);
    await this.exited;
    await closeCgroups(resources, clock);
  }
}

async function endOf(parts: GuestParts): Promise<ExitStatus> {
  const { child, watch } = parts;
  const status = await child.exited;
  watch.abort();
  return status;
}

/** Removes all groups; throws when one cannot be emptied, so that teardown says what is left. */
export async function closeCgroups(resources: GuestResources, clock: Clock): Promise<void> {
  const left: string[] = [];
  for (const directory of resources.cgroups) {
    if (!(await closeCgroup(directory, clock))) left.push(directory);
  }
  if (left.length > 0) throw new Error(`control groups could not be emptied: ${left.join(", ")}`);
}
