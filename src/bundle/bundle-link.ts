/**
 * One life of a bundle, seen from its owner: the control pipe, whatever carries it. Invariant: secrets travel on the control
 * pipe only, and a life that did not become ready is over before its failure is reported.
 */

import { readFileSync } from "node:fs";
import type { Readable, Writable } from "node:stream";
import { withDeadline } from "../base/deadline.ts";
import { messageOf, ProtocolError, SidecarError } from "../base/errors.ts";
import { parseJson } from "../base/json.ts";
import { ignore } from "../base/log.ts";
import type { ExitStatus } from "../process/exec.ts";
import {
  type BundleOrder,
  type BundleReport,
  bundleReportSchema,
  type DaemonName,
} from "../protocol/bundle.ts";
import { encodeFrame, FrameDecoder } from "../protocol/frame.ts";
import { type BundleContext, type BundlePlan, READY_DEADLINE_MS } from "./contract.ts";
import { logHint } from "./log-tail.ts";

/** How long a daemon may take to lay a new policy over the old one. */
export const RELOAD_DEADLINE_MS = 5_000;
/** Grace that a stopping bundle gives its daemons. */
export const STOP_GRACE_MS = 8_000;
/** Time between the end of that grace and the kill ladder. */
const STOP_MARGIN_MS = 500;
/** Characters of the log's end that are quoted when a bundle does not start. */
const LOG_TAIL_LENGTH = 2_000;

/** What runs a bundle: a process of ours, or a container. */
export interface BundleCarrier {
  /** The control pipe. */
  readonly stdin: Writable;
  readonly stdout: Readable;
  /** Settles with the end, never rejects. */
  readonly exited: Promise<ExitStatus>;
  /** Settles when nothing of it runs any more, where that is known before it is heard how it ended; never rejects. */
  readonly ended?: Promise<unknown>;
  /** Settles when it has its place in the world, where that takes longer than its start; a carrier without one is not ready. */
  readonly placed?: Promise<void>;
  /** Pid of the process that holds the daemons; 0 where it is none of this machine's. */
  readonly pid: number;
  /** Ends it at once; resolves when it is gone. */
  kill(): Promise<unknown>;
}

/** Configures what a carrier runs; resolves when every door accepts. */
export async function openBundleLink(
  plan: BundlePlan,
  carrier: BundleCarrier,
  configure: BundleOrder,
  context: Pick<BundleContext, "ports" | "signal" | "onEvent" | "onAudit" | "onCredentialRefused">,
): Promise<BundleLink> {
  const link = new BundleLink(carrier, context);
  try {
    link.send(configure);
    await withDeadline(Promise.all([link.ready, carrier.placed]), {
      what: "the bundle's ready frame",
      timeoutMs: READY_DEADLINE_MS,
      signal: context.signal,
    });
    return link;
  } catch (error) {
    await carrier.kill();
    if (context.signal?.aborted === true) throw error;
    throw new SidecarError("sidecar.start", `bundle did not start: ${messageOf(error)}`, {
      hint: logHint(plan.logFile),
      details: { log: tailOf(plan.logFile) },
      cause: error,
    });
  }
}

/** The owner's end of one life's control pipe. */
export class BundleLink {
  /** Resolves with the ready report; rejects when the process ends or speaks wrongly before. */
  readonly ready: Promise<void>;
  readonly #carrier: BundleCarrier;
  readonly #context: Pick<BundleContext, "onEvent" | "onAudit" | "onCredentialRefused" | "ports">;
  readonly #ready = Promise.withResolvers<void>();
  readonly #reloads = new Map<DaemonName, PromiseWithResolvers<void>>();
  readonly #decoder = new FrameDecoder();
  /** Why nothing more can be asked of it. */
  #failure: Error | undefined;

  constructor(
    carrier: BundleCarrier,
    context: Pick<BundleContext, "onEvent" | "onAudit" | "onCredentialRefused" | "ports">,
  ) {
    this.#carrier = carrier;
    this.#context = context;
    this.ready = this.#ready.promise;
    void ignore(this.ready, "openBundleLink reports it");
    carrier.stdin.on("error", (error) =>
      context.ports.log.debug("bundle's control pipe", { error: error.message }),
    );
    carrier.stdout.on("data", (chunk: Buffer) => this.#receive(chunk));
    void carrier.exited.then((status) =>
      this.#fail(new SidecarError("sidecar.died", describeExit(status))),
    );
  }

  get exited(): Promise<ExitStatus> {
    return this.#carrier.exited;
  }

  get pid(): number {
    return this.#carrier.pid;
  }

  send(order: BundleOrder): void {
    this.#carrier.stdin.write(encodeFrame("message", 0, Buffer.from(JSON.stringify(order))));
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

  /** Asks the bundle to stop, then ends it. Nothing of it runs after; `gone` settles when nothing of it is left. */
  async stop(): Promise<{ readonly gone: Promise<unknown> }> {
    const { ended = this.exited } = this.#carrier;
    let hasEnded = false;
    this.send({ kind: "stop", deadlineMs: STOP_GRACE_MS });
    const stopped = withDeadline(Promise.race([ended, this.exited]), {
      what: "the bundle to stop",
      timeoutMs: STOP_GRACE_MS + STOP_MARGIN_MS,
      clock: this.#context.ports.clock,
    });
    const noted = stopped.then(() => void (hasEnded = true));
    await ignore(noted, "the kill ladder follows", this.#context.ports.log);
    const gone = this.#carrier.kill();
    if (!hasEnded) await gone;
    return { gone };
  }

  #receive(chunk: Buffer): void {
    try {
      for (const frame of this.#decoder.push(chunk)) this.#handle(parseReport(frame.payload));
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#fail(error);
      void this.#carrier.kill();
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
      case "audit":
        this.#context.onAudit?.(report.state, report.detail);
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
  const result = bundleReportSchema().safeParse(parseMessage(payload));
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
