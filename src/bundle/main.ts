/**
 * The bundle's process: takes orders on stdin, runs the daemons, ends with its owner. Started by hand it takes its order from
 * the environment. Invariant: whatever goes wrong ends the whole process, so that no door stays open without its policy.
 */
import { fstatSync, rmSync } from "node:fs";
import { systemClock } from "../base/clock.ts";
import { messageOf } from "../base/errors.ts";
import { createLogger, type Logger } from "../base/log.ts";
import { clipEvent, MAX_AUDIT_BYTES, openAuditLog } from "../protocol/audit-log.ts";
import type { BundleOrder } from "../protocol/bundle.ts";
import type { Audit, Daemon } from "../sidecars/descriptor.ts";
import { createEgress } from "../sidecars/egress/daemon.ts";
import { type Control, failedReport, openControl } from "./control.ts";
import { type DaemonLoaders, DaemonSet, selectDaemons } from "./daemons.ts";
import { reportingAudit } from "./reporting-audit.ts";

/** Time the daemons get to stop: what the earlier system gave, below the 10 s that container engines give. */
const GRACE_MS = 8_000;
/** A daemon that does not stop in that time does not hold the process back. */
const GRACE_MARGIN_MS = 500;
/** Keeps a process without daemons and without an owner running. */
const IDLE_MS = 3_600_000;

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

/** A bundle without an owner has nobody to report to. */
const NO_CONTROL: Control = { send: () => undefined, flush: () => Promise.resolve() };

class Bundle {
  readonly #abort = new AbortController();
  #control: Control = NO_CONTROL;
  #daemons: DaemonSet | undefined;
  #doors: readonly string[] = [];
  #isEnding = false;
  #readAgain: (() => unknown) | undefined;

  /** Obeys the owner at the other end of stdin and stdout. */
  serveOwner(): void {
    this.#control = openControl(process.stdin, process.stdout, {
      onOrder: (order) => this.#settle(this.#obey(order)),
      onGone: () => this.exit(0, "the owner is gone"),
      onFault: (error) => this.exit(1, error.message),
    });
  }

  /** Runs what the environment says. */
  async runByHand(): Promise<void> {
    const { readByHand } = await import("./by-hand.ts");
    const entryFile = process.argv[1] ?? "";
    const { order, madeCertificate, notes } = readByHand(process.env, systemClock.now(), entryFile);
    for (const note of notes) log.warn(note);
    await this.#configure(order);
    // The authority that clients trust stays.
    const [egress] = order.daemons;
    const { caCertificate } = egress.config;
    this.#readAgain = () => ({
      ...readByHand(process.env, systemClock.now(), entryFile).order.daemons[0].config,
      caCertificate,
    });
    if (madeCertificate !== undefined && this.#doors.length > 0)
      process.stdout.write(madeCertificate);
    setInterval(() => undefined, IDLE_MS);
  }

  /** Ends the process at once: every door closes with it. */
  exit(status: number, why: string): void {
    for (const door of this.#doors) if (door.startsWith("/")) rmSync(door, { force: true });
    log.info("exit", { status, why });
    process.exit(status);
  }

  /** Lets the daemons finish what they are doing, then ends the process. */
  async stop(deadlineMs: number, why: string): Promise<void> {
    if (this.#isEnding) return;
    this.#isEnding = true;
    const graceMs = Math.min(deadlineMs, GRACE_MS);
    setTimeout(() => this.exit(1, "a daemon did not stop"), graceMs + GRACE_MARGIN_MS).unref();
    await this.#daemons?.stop(graceMs);
    this.#abort.abort();
    await this.#control.flush();
    this.exit(0, why);
  }

  /** Reads the routes again when run by hand, else applies the policy in force once more. */
  async reapply(): Promise<void> {
    if (this.#readAgain === undefined) return this.#daemons?.reapply();
    try {
      const reloaded = await this.#daemons?.reload("egress", this.#readAgain());
      if (reloaded?.ok === false) throw new Error(reloaded.message);
    } catch (error) {
      log.error("reload failed, the old policy stays", { error: messageOf(error) });
    }
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
    if (order.auditFile === "") {
      const auditLog = logFor("audit");
      return { append: (event) => auditLog.info("decision", { event: clipEvent(event) }) };
    }
    const file = openAuditLog(order.auditFile, {
      bottle: order.slug,
      clock: systemClock,
      maxBytes: MAX_AUDIT_BYTES,
    });
    return reportingAudit(file, systemClock, (report) => this.#control.send(report));
  }
}

/**
 * An owner holds the other end of a pipe; a terminal, /dev/null or a file as stdin is somebody's hand, and BOT_BOTTLE_BY_HAND
 * says so where stdin is a pipe for another reason.
 */
function hasOwner(): boolean {
  if (process.env["BOT_BOTTLE_BY_HAND"] === "1") return false;
  try {
    const stdin = fstatSync(0);
    return stdin.isFIFO() || stdin.isSocket();
  } catch (error) {
    log.debug("no stdin", { error: messageOf(error) });
    return false;
  }
}

const bundle = new Bundle();
for (const signal of ["SIGTERM", "SIGINT"] as const) {
  process.on(signal, () => void bundle.stop(GRACE_MS, `stopped by ${signal}`));
}
process.on("SIGHUP", () => void bundle.reapply());
// SIGUSR1 of the container restarts pipelock alone where the bundle runs one. It comes as SIGUSR2: with --disable-sigusr1 Node
// tells us of no SIGUSR1. Without a listener the signal would end the process.
process.on("SIGUSR2", () => log.info("SIGUSR1: no pipelock runs here"));
process.on("uncaughtException", (error) => bundle.exit(1, error.stack ?? error.message));
if (hasOwner()) bundle.serveOwner();
else bundle.runByHand().catch((error: unknown) => bundle.exit(1, messageOf(error)));
