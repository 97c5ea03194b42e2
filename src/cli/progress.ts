/** Turns launch steps into progress lines, shown only when a step takes long, and what needs the operator into warnings. */
import { dirname } from "node:path";
import type { Logger } from "../base/log.ts";
import { type BottleEvent, type EventHub, type LaunchStep, providerNamed } from "../index.ts";
import type { Output } from "./output.ts";
import { logRecovery, logWarning, type WarningTopic } from "./warnings.ts";

/** A step is worth a line when it takes longer than this, in milliseconds. */
const SLOW_STEP_MS = 1000;

const STEP_TEXT: Readonly<Record<LaunchStep, string>> = {
  record: "claiming the name",
  directories: "making directories",
  audit: "opening the audit log",
  authority: "making the certificate authority",
  workspace: "copying the workspace",
  bundle: "starting the bundle",
  guest: "starting the guest",
  isolation: "proving the isolation",
  doors: "knocking on the doors",
  provision: "preparing the guest",
  running: "running",
};

/** Where a bottle's warnings go. */
interface Watch {
  readonly output: Output;
  /** The owner's log: the only place where a detached bottle's warnings are seen. */
  readonly log: Logger;
}

/** Follows a launch until the hub ends. */
export async function followProgress(events: EventHub, watch: Watch): Promise<void> {
  const { output } = watch;
  let timer: NodeJS.Timeout | undefined;
  for await (const event of events.subscribe()) {
    if (event.kind === "step") {
      clearTimeout(timer);
      timer =
        event.step === "running"
          ? undefined
          : setTimeout(
              () => output.progress(`bot-bottle: ${STEP_TEXT[event.step]} …`),
              SLOW_STEP_MS,
            );
      timer?.unref();
    } else {
      // Who says what is done makes a step's own line, which would come later, wrong.
      if (event.kind === "progress") clearTimeout(timer);
      sayEvent(event, watch);
    }
  }
  clearTimeout(timer);
}

/** Not silenced by --quiet: the bottle does not do what it is there for until somebody acts. */
function warn({ output, log }: Watch, topic: WarningTopic, text: string, hint?: string): void {
  logWarning(log, topic, hint === undefined ? text : `${text}; ${hint}`);
  output.error(output.color.yellow(`bot-bottle: ${text}`));
  if (hint !== undefined) output.error(`hint: ${hint}`);
}

type AuditEvent = Extract<BottleEvent, { kind: "audit" }>;

/** Only somebody outside can make room. */
function sayAudit({ state, detail, path }: AuditEvent, watch: Watch): void {
  if (state === "recovered") {
    const text = "the audit log is written again";
    logRecovery(watch.log, "audit", text);
    watch.output.error(`bot-bottle: ${text}`);
    return;
  }
  const what = `the audit log cannot be written: ${detail}; nothing leaves the bottle meanwhile`;
  warn(watch, "audit", what, `make room in ${dirname(path)}`);
}

type CredentialEvent = Extract<BottleEvent, { kind: "credential" }>;

/** Who must do what: nothing in the bottle, and nothing of ours, can log in. */
function sayLogin({ state, name, detail }: CredentialEvent, watch: Watch): void {
  if (state === "renewed") return logRecovery(watch.log, "login", `the ${name}: ${detail}`);
  const provider = name.split(" ")[0] ?? "";
  const renewal = providerNamed(provider)?.hostLogin?.renewal ?? "log in again on this machine";
  const hint = `${renewal}; the bottle takes the new login by itself`;
  warn(watch, "login", `the ${name}: ${detail}`, hint);
}

function sayEvent(event: BottleEvent, watch: Watch): void {
  if (event.kind === "progress") watch.output.progress(`bot-bottle: ${event.detail}`);
  if (event.kind === "bundle-restarted")
    warn(watch, "bundle", `the bundle was restarted: ${event.reason}`);
  if (event.kind === "audit") sayAudit(event, watch);
  if (event.kind === "credential") sayLogin(event, watch);
}
