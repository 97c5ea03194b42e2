/**
 * The handle of a running bottle. It holds the plan, the parts and the scope that owns them; closing it is idempotent and
 * shared. A bundle that dies for good or a guest that ends closes the bottle: nothing runs on with a door and no policy.
 */
import type { ArchiveItem, Guest, Session, SessionOptions } from "../backends/contract.ts";
import { withDeadline } from "../base/deadline.ts";
import { BottleError, LaunchError, ProtocolError } from "../base/errors.ts";
import { type BottleId, type GuestPath, parseGuestPath } from "../base/ids.ts";
import { ignore } from "../base/log.ts";
import type { Scope, TeardownFailure } from "../base/scope.ts";
import type { BundleHandle } from "../bundle/contract.ts";
import type { ExitStatus } from "../process/exec.ts";
import type { RecordKeeper } from "./claim.ts";
import type { BottleEvent, EventHub } from "./events.ts";
import { collectSession, type ExecResult } from "./exec-result.ts";
import type { BottlePlan } from "./plan.ts";

export interface BottleParts {
  readonly bundle: BundleHandle;
  readonly guest: Guest;
  readonly keeper: RecordKeeper;
  readonly events: EventHub;
}

/** Options of one command in the bottle. */
export interface ExecInBottleOptions {
  /** Laid over the bottle's environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** Default: the agent's working directory. */
  readonly cwd?: string;
  /** Written to stdin, which is then closed. */
  readonly input?: string | Uint8Array;
}

/** Why a record that cannot be written does not matter yet: closing the bottle writes it again, whole. */
const WRITTEN_AT_END = "the record is written again at the end";

/** How a bottle ended. */
export interface CloseReport {
  /** What could not be released; `bot-bottle cleanup` finds it. */
  readonly failures: readonly TeardownFailure[];
  /** Why the state was kept; undefined when it was removed. */
  readonly kept: string | undefined;
  /** Sequence number and hash of the audit log's last line, `seq:hash`. */
  readonly auditHead: string | undefined;
  /** What ended it, when it was not asked for. */
  readonly fault: unknown;
  /**
   * Settles when a container engine has removed what held the bottle, with what it could not. Nothing of it runs any more, so that
   * only a process that ends waits for this. Never rejects.
   */
  readonly gone: Promise<readonly TeardownFailure[]>;
}

/** Time for an engine to remove two containers and their networks. */
const GONE_MS = 15_000;

/** A running bottle. Made by `launch`; use it with `await using`. */
export class Bottle implements AsyncDisposable {
  readonly plan: BottlePlan;
  /** Settles when the bottle is gone, whoever ended it. Never rejects. */
  readonly closed: Promise<CloseReport>;
  /** How often the bundle was restarted. */
  restarts = 0;
  readonly #parts: BottleParts;
  readonly #scope: Scope;
  readonly #resolveClosed: (report: CloseReport) => void;
  #closing: Promise<CloseReport> | undefined;
  #fault: unknown;

  constructor(plan: BottlePlan, parts: BottleParts, scope: Scope) {
    this.plan = plan;
    this.#parts = parts;
    this.#scope = scope;
    const settled = Promise.withResolvers<CloseReport>();
    this.closed = settled.promise;
    this.#resolveClosed = settled.resolve;
    this.#watch();
  }

  get id(): BottleId {
    return this.plan.id;
  }

  get guest(): Guest {
    return this.#parts.guest;
  }

  get bundle(): BundleHandle {
    return this.#parts.bundle;
  }

  /** Starts the agent of the plan on the descriptors given at launch. Its exit goes into the record. */
  async execAgent(options: { readonly stdio?: SessionOptions["stdio"] } = {}): Promise<Session> {
    const { agent } = this.plan;
    const session = await this.start(agent.argv, { stdio: options.stdio ?? "inherit" });
    this.#parts.events.emit({ kind: "agent-started", argv: agent.argv });
    this.#parts.keeper.expectExit(this.#recordExit(session));
    return session;
  }

  /** Starts a program in the bottle. Throws LaunchError `launch.agent` when it cannot be executed. */
  start(
    argv: readonly string[],
    options: ExecInBottleOptions & { readonly stdio?: SessionOptions["stdio"] } = {},
  ): Promise<Session> {
    if (this.#closing !== undefined) throw this.#goneError();
    return this.#parts.guest.session({
      argv,
      env: options.env ?? {},
      cwd: options.cwd === undefined ? this.plan.agent.cwd : parseGuestPath(options.cwd),
      stdio: options.stdio ?? "pipe",
    });
  }

  /** Runs a program to its end and collects its output (8 MiB of each stream at most). */
  async exec(argv: readonly string[], options: ExecInBottleOptions = {}): Promise<ExecResult> {
    return collectSession(await this.start(argv, options), options.input);
  }

  /** Copies entries to `root` in the guest; returns how many. */
  copyIn(
    root: GuestPath,
    items: AsyncIterable<ArchiveItem> | Iterable<ArchiveItem>,
  ): Promise<number> {
    return this.#parts.guest.copyIn(root, items);
  }

  /** Reads a file or directory of the guest. Everything it yields is guest input. */
  copyOut(root: GuestPath): AsyncIterable<ArchiveItem> {
    return this.#parts.guest.copyOut(root);
  }

  /** Steps, decisions and sessions from now on. */
  events(): AsyncIterableIterator<BottleEvent> {
    return this.#parts.events.subscribe();
  }

  /** Ends every process in the bottle, closes the doors, keeps or removes the state. Idempotent; never throws. */
  close(why = "asked to close"): Promise<CloseReport> {
    this.#closing ??= this.#close(why);
    return this.#closing;
  }

  /** Closes it and waits for the engine as well: a process may end right after. */
  async [Symbol.asyncDispose](): Promise<void> {
    await (await this.close()).gone;
  }

  async #close(why: string): Promise<CloseReport> {
    const { events, keeper } = this.#parts;
    events.emit({ kind: "closing", why });
    const failures = await this.#scope.close();
    const kept = keeper.record.kept === "" ? undefined : keeper.record.kept;
    const auditHead = keeper.auditHead;
    events.emit({ kind: "closed", kept, auditHead });
    events.end();
    const report = { failures, kept, auditHead, fault: this.#fault, gone: this.#removed() };
    this.#resolveClosed(report);
    return report;
  }

  async #removed(): Promise<readonly TeardownFailure[]> {
    try {
      const { gone } = this.#parts.bundle;
      if (gone === undefined) return [];
      await withDeadline(gone, { what: "the engine to remove the bottle", timeoutMs: GONE_MS });
      return [];
    } catch (error) {
      return [{ label: "container engine", error }];
    }
  }

  #watch(): void {
    const { bundle, guest } = this.#parts;
    void this.#countRestarts();
    bundle.closed.then(undefined, (error: unknown) => this.#fail(error, "the bundle died"));
    guest.exited.then(
      () =>
        this.#fail(
          new LaunchError("launch.backend", "the guest ended by itself"),
          "the guest ended",
        ),
      (error: unknown) => this.#fail(error, "the guest failed"),
    );
  }

  async #countRestarts(): Promise<void> {
    for await (const event of this.events())
      if (event.kind === "bundle-restarted") this.restarts += 1;
  }

  #fail(error: unknown, why: string): void {
    if (this.#closing !== undefined) return;
    this.#fault = error;
    void this.close(why);
  }

  #goneError(): unknown {
    return this.#fault instanceof BottleError
      ? this.#fault
      : new ProtocolError("protocol.closed", `bottle ${this.id} is closed`);
  }

  /** Never rejects: what cannot be written now is written, or reported, at the end. */
  async #recordExit(session: Session): Promise<void> {
    const { keeper, events } = this.#parts;
    let exit: ExitStatus;
    try {
      exit = await session.exited;
    } catch {
      return ignore(keeper.update({ exit_signal: "SIGKILL" }), WRITTEN_AT_END);
    }
    events.emit({ kind: "agent-exited", exitCode: exit.exitCode, signal: exit.signal });
    const patch = { exit_code: exit.exitCode ?? null, exit_signal: exit.signal ?? null };
    return ignore(keeper.update(patch), WRITTEN_AT_END);
  }
}
