/**
 * The bundle's process: takes orders on stdin, runs the daemons, ends with its owner. Invariant: whatever goes wrong ends
 * the whole process, so that no door stays open without its policy.
 */
import { rmSync } from "node:fs";
import { systemClock } from "../base/clock.ts";
import { messageOf } from "../base/errors.ts";
import { createLogger, type Logger } from "../base/log.ts";
import { clipEvent, MAX_AUDIT_BYTES, openAuditLog } from "../protocol/audit-log.ts";
import type { BundleOrder } from "../protocol/bundle.ts";
import type { Audit, Daemon } from "../sidecars/descriptor.ts";
import { createEgress } from "../sidecars/egress/daemon.ts";
import { type Control, failedReport, openControl } from "./control.ts";
import { type DaemonLoaders, DaemonSet, selectDaemons } from "./daemons.ts";

/** Time the daemons get to stop: what the earlier system gave, below the 10 s that container engines give. */
const GRACE_MS = 8_000;

const LOADERS: DaemonLoaders = { egress: () => Promise.resolve(erase(createEgress())) };

type Configure = Extract<BundleOrder, { kind: "configure" }>;

/** A daemon whose configuration type only its own parser knows. */
function erase<Config>(daemon: Daemon<Config>): Daemon<unknown> {
  const parsed = new WeakMap<object, Config>();
  const take = (token: unknown): Config => {
    const config = typeof token === "object" && token !== null ? parsed.get(token) : undefined;
    if (config === undefined)
      throw new TypeError("a daemon was given a configuration that it did not parse");
    return config;
  };
  return {
    name: daemon.name,
    parseConfig: (value) => {
      const token = {};
      parsed.set(token, daemon.parseConfig(value));
      return token;
    },
    start: (context) => daemon.start({ ...context, config: take(context.config) }),
    health: () => daemon.health(),
    reload: (next, secrets) => daemon.reload(take(next), secrets),
    stop: (deadlineMs) => daemon.stop(deadlineMs),
  };
}

/** Most that one process writes to its log: a guest decides how often something is worth a line. */
const MAX_LOG_BYTES = 64 * 1024 * 1024;

let logged = 0;

function writeLog(line: string): void {
  if (logged > MAX_LOG_BYTES) return;
  logged += line.length;
  process.stderr.write(
    logged > MAX_LOG_BYTES ? "[bundle] the log is full, nothing more is written\n" : line,
  );
}

const logFor = (name: string): Logger => createLogger((line) => writeLog(`[${name}] ${line}`));
const log = logFor("bundle");

class Bundle {
  readonly #abort = new AbortController();
  readonly #control: Control;
  #daemons: DaemonSet | undefined;
  #doors: readonly string[] = [];
  #isEnding = false;

  constructor() {
    this.#control = openControl(process.stdin, process.stdout, {
      onOrder: (order) => this.#settle(this.#obey(order)),
      onGone: () => this.exit(0, "the owner is gone"),
      onFault: (error) => this.exit(1, error.message),
    });
  }

  /** Ends the process at once: every door closes with it. */
  exit(status: number, why: string): void {
    for (const door of this.#doors) rmSync(door, { force: true });
    log.info("exit", { status, why });
    process.exit(status);
  }

  /** Lets the daemons finish what they are doing, then ends the process. */
  async stop(deadlineMs: number, why: string): Promise<void> {
    if (this.#isEnding) return;
    this.#isEnding = true;
    await this.#daemons?.stop(Math.min(deadlineMs, GRACE_MS));
    this.#abort.abort();
    await this.#control.flush();
    this.exit(0, why);
  }

  async reapply(): Promise<void> {
    await this.#daemons?.reapply();
  }

  /** A failure outside any request ends the bundle: its owner restarts it or closes the bottle. */
  #settle(work: Promise<void>): void {
    work.catch((error: unknown) => this.exit(1, messageOf(error)));
  }

  async #obey(order: BundleOrder): Promise<void> {
    switch (order.kind) {
      case "configure":
        return this.#configure(order);
      case "reload": {
        const { name } = order;
        const reloaded = await this.#daemons?.reload(name, order.config, order.secrets);
        const message =
          reloaded === undefined ? "not configured yet" : reloaded.ok ? "" : reloaded.message;
        this.#control.send({ kind: "reloaded", name, ok: reloaded?.ok === true, message });
        return;
      }
      case "stop":
        return this.stop(order.deadlineMs, "stopped by the owner");
    }
  }

  async #configure(order: Configure): Promise<void> {
    try {
      if (this.#daemons !== undefined) throw new Error("configured twice; once is expected");
      const chosen = selectDaemons(order.daemons, process.env["BOT_BOTTLE_SIDECAR_DAEMONS"]);
      const daemons = new DaemonSet({
        loaders: LOADERS,
        audit: this.#openAudit(order),
        signal: this.#abort.signal,
        logFor,
        onCredentialRefused: (name, slot) =>
          this.#control.send({ kind: "credential-refused", name, slot }),
      });
      this.#daemons = daemons;
      this.#doors = chosen.map((it) => it.door);
      if (chosen.length === 0) log.info("no daemons selected");
      const started = await daemons.start(chosen);
      this.#control.send({ kind: "ready", daemons: [...started] });
    } catch (error) {
      this.#control.send(failedReport("bundle", error));
      await this.#control.flush();
      this.exit(1, messageOf(error));
    }
  }

  #openAudit(order: Configure): Audit {
    const file = openAuditLog(order.auditFile, {
      bottle: order.slug,
      clock: systemClock,
      maxBytes: MAX_AUDIT_BYTES,
    });
    return {
      append: (event) => {
        file.append(event);
        this.#control.send({ kind: "event", event: clipEvent(event) });
      },
    };
  }
}

const bundle = new Bundle();
for (const signal of ["SIGTERM", "SIGINT"] as const) {
  process.on(signal, () => void bundle.stop(GRACE_MS, `stopped by ${signal}`));
}
process.on("SIGHUP", () => void bundle.reapply());
// Restarts pipelock alone where the bundle runs one; without a listener the signal would end the process.
process.on("SIGUSR1", () => log.info("SIGUSR1: no pipelock runs here"));
process.on("uncaughtException", (error) => bundle.exit(1, error.stack ?? error.message));
