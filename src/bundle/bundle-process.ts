/**
 * One life of a bundle's process, seen from its owner: sandbox, control pipe, log. Invariant: secrets travel on the
 * control pipe only, and a process that did not become ready is gone before its failure is reported.
 */
import { closeSync, constants, openSync, readFileSync } from "node:fs";
import { withDeadline } from "../base/deadline.ts";
import { messageOf, ProtocolError, SidecarError } from "../base/errors.ts";
import { parseJson } from "../base/json.ts";
import { ignore } from "../base/log.ts";
import type { Child, ExitStatus } from "../process/exec.ts";
import { readStartTime } from "../process/identity.ts";
import {
  type BundleOrder,
  type BundleReport,
  bundleReportSchema,
  type DaemonName,
} from "../protocol/bundle.ts";
import { encodeFrame, FrameDecoder } from "../protocol/frame.ts";
import { type BundleContext, type BundlePlan, READY_DEADLINE_MS } from "./contract.ts";

/** How long a daemon may take to lay a new policy over the old one. */
export const RELOAD_DEADLINE_MS = 5_000;
/** Grace that a stopping bundle gives its daemons. */
export const STOP_GRACE_MS = 8_000;
/** Time between the end of that grace and the kill ladder. */
const STOP_MARGIN_MS = 500;
/** Characters of the log's end that are quoted when a bundle does not start. */
const LOG_TAIL_LENGTH = 2_000;

/** Starts one process from the sandbox's argv; resolves when every door accepts. */
export async function openBundleProcess(
  plan: BundlePlan,
  argv: readonly string[],
  configure: BundleOrder,
  context: Omit<BundleContext, "secrets" | "configOverlay" | "onRestart">,
): Promise<BundleProcess> {
  const child = await startChild(plan, argv, context);
  const bundle = new BundleProcess(child, context);
  try {
    const startTime = readStartTime(child.pid) ?? "";
    await context.onResources({ processes: [{ pid: child.pid, startTime }] });
    bundle.send(configure);
    await withDeadline(bundle.ready, {
      what: "the bundle's ready frame",
      timeoutMs: READY_DEADLINE_MS,
      signal: context.signal,
    });
    return bundle;
  } catch (error) {
    await child.terminate(0);
    if (context.signal?.aborted === true) throw error;
    throw new SidecarError("sidecar.start", `bundle did not start: ${messageOf(error)}`, {
      hint: `read ${plan.logFile}`,
      details: { log: tailOf(plan.logFile) },
      cause: error,
    });
  }
}

async function startChild(
  plan: BundlePlan,
  argv: readonly string[],
  context: Pick<BundleContext, "ports">,
): Promise<Child> {
  const { O_WRONLY, O_CREAT, O_APPEND, O_NOFOLLOW } = constants;
  const log = openSync(plan.logFile, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0o600);
  try {
    return await context.ports.exec.start(argv, {
      name: "bundle",
      env: {},
      stdio: ["pipe", "pipe", log],
      log: context.ports.log,
    });
  } finally {
    closeSync(log);
  }
}

/** A bundle's process and the owner's end of its control pipe. */
export class BundleProcess {
  /** Resolves with the ready report; rejects when the process ends or speaks wrongly before. */
  readonly ready: Promise<void>;
  readonly #child: Child;
  readonly #context: Pick<BundleContext, "onEvent" | "onCredentialRefused" | "ports">;
  readonly #ready = Promise.withResolvers<void>();
  readonly #reloads = new Map<DaemonName, PromiseWithResolvers<void>>();
  readonly #decoder = new FrameDecoder();
  /** Why nothing more can be asked of it. */
  #failure: Error | undefined;

  constructor(
    child: Child,
    context: Pick<BundleContext, "onEvent" | "onCredentialRefused" | "ports">,
  ) {
    this.#child = child;
    this.#context = context;
    this.ready = this.#ready.promise;
    void ignore(this.ready, "openBundleProcess reports it");
    child.stdin?.on("error", (error) =>
      context.ports.log.debug("bundle's control pipe", { error: error.message }),
    );
    child.stdout?.on("data", (chunk: Buffer) => this.#receive(chunk));
    void child.exited.then((status) =>
      this.#fail(new SidecarError("sidecar.died", describeExit(status))),
    );
  }

  get exited(): Promise<ExitStatus> {
    return this.#child.exited;
  }

  /** Pid of the process that holds the daemons: the sandbox's processes stand above it. */
  get pid(): number {
    return lastDescendant(this.#child.pid);
  }

  send(order: BundleOrder): void {
    this.#child.stdin?.write(encodeFrame("message", 0, Buffer.from(JSON.stringify(order))));
  }

  /** Lays a new policy over a daemon's. Throws SidecarError when the daemon refuses it: the old one stays. */
  async reload(
    name: DaemonName,
    config: unknown,
    secrets: Readonly<Record<string, string>> = {},
  ): Promise<void> {
    await this.#reloads.get(name)?.promise.catch((error: unknown) => {
      this.#context.ports.log.debug("an earlier reload failed", { name, error: messageOf(error) });
    });
    if (this.#failure !== undefined) throw this.#failure;
    const pending = Promise.withResolvers<void>();
    this.#reloads.set(name, pending);
    this.send({ kind: "reload", name, config, secrets });
    await withDeadline(pending.promise, {
      what: `${name} to take its new policy`,
      timeoutMs: RELOAD_DEADLINE_MS,
    });
  }

  /** Asks the bundle to stop, then ends it. */
  async stop(): Promise<void> {
    this.send({ kind: "stop", deadlineMs: STOP_GRACE_MS });
    const stopped = withDeadline(this.exited, {
      what: "the bundle to stop",
      timeoutMs: STOP_GRACE_MS + STOP_MARGIN_MS,
      clock: this.#context.ports.clock,
    });
    await ignore(stopped, "the kill ladder follows", this.#context.ports.log);
    await this.#child.terminate(0);
  }

  #receive(chunk: Buffer): void {
    try {
      for (const frame of this.#decoder.push(chunk)) this.#handle(parseReport(frame.payload));
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#fail(error);
      void this.#child.terminate(0);
    }
  }

  #handle(report: BundleReport): void {
    switch (report.kind) {
      case "ready":
        this.#ready.resolve();
        return;
      case "event":
        this.#context.onEvent(report.event);
        return;
      case "credential-refused":
        this.#context.onCredentialRefused?.(report.slot);
        return;
      case "reloaded": {
        const pending = this.#reloads.get(report.name);
        this.#reloads.delete(report.name);
        if (report.ok) pending?.resolve();
        else pending?.reject(refusedReload(report.name, report.message));
        return;
      }
      case "failed":
        this.#fail(new SidecarError("sidecar.start", report.message));
        return;
    }
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    this.#ready.reject(error);
    for (const pending of this.#reloads.values()) pending.reject(error);
    this.#reloads.clear();
  }
}

function refusedReload(name: DaemonName, message: string): SidecarError {
  return new SidecarError(
    "sidecar.start",
    `${name} refused its new policy, the old one stays: ${message}`,
  );
}

function parseReport(payload: Buffer): BundleReport {
  const result = bundleReportSchema.safeParse(parseMessage(payload));
  if (result.success) return result.data;
  throw new ProtocolError(
    "protocol.message",
    "the bundle sent a report that does not follow the protocol",
  );
}

function parseMessage(payload: Buffer): unknown {
  try {
    return parseJson(payload.toString("utf8"));
  } catch (error) {
    throw new ProtocolError("protocol.message", "the bundle sent a report that is not JSON", {
      cause: error,
    });
  }
}

/** How a process ended, for people. */
export function describeExit(status: ExitStatus): string {
  return status.signal === undefined
    ? `the bundle exited with status ${status.exitCode ?? "unknown"}`
    : `the bundle was killed by ${status.signal}`;
}

function tailOf(path: string): string {
  try {
    return readFileSync(path, "utf8").slice(-LOG_TAIL_LENGTH);
  } catch (error) {
    return messageOf(error);
  }
}

/** Follows only children down: bubblewrap's monitor, its first process, then ours. */
function lastDescendant(pid: number): number {
  try {
    const [child] = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ");
    return child === undefined || child === "" ? pid : lastDescendant(Number(child));
  } catch (error) {
    void error;
    return pid;
  }
}
