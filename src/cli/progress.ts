/** Turns launch steps into progress lines, shown only when a step takes long. */
import { dirname } from "node:path";
import { type BottleEvent, type EventHub, type LaunchStep, providerNamed } from "../index.ts";
import type { Output } from "./output.ts";

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

/** Follows a launch until the hub ends. */
export async function followProgress(events: EventHub, output: Output): Promise<void> {
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
      sayEvent(event, output);
    }
  }
  clearTimeout(timer);
}

type AuditEvent = Extract<BottleEvent, { kind: "audit" }>;

/** Only somebody outside can make room. */
function sayAudit({ state, detail, path }: AuditEvent, output: Output): void {
  if (state === "recovered") return output.note("bot-bottle: the audit log is written again");
  const what = `the audit log cannot be written: ${detail}; nothing leaves the bottle meanwhile`;
  output.note(output.color.yellow(`bot-bottle: ${what}`));
  output.note(`hint: make room in ${dirname(path)}`);
}

type CredentialEvent = Extract<BottleEvent, { kind: "credential" }>;

/** Who must do what: nothing in the bottle, and nothing of ours, can log in. */
function sayLogin({ name, detail }: CredentialEvent, output: Output): void {
  const provider = name.split(" ")[0] ?? "";
  const renewal = providerNamed(provider)?.hostLogin?.renewal ?? "log in again on this machine";
  output.note(output.color.yellow(`bot-bottle: the ${name}: ${detail}`));
  output.note(`hint: ${renewal}; the bottle takes the new login by itself`);
}

function sayEvent(event: BottleEvent, output: Output): void {
  if (event.kind === "progress") output.progress(`bot-bottle: ${event.detail}`);
  if (event.kind === "bundle-restarted")
    output.note(output.color.yellow(`bot-bottle: the bundle was restarted: ${event.reason}`));
  if (event.kind === "audit") sayAudit(event, output);
  if (event.kind === "credential" && event.state !== "renewed") sayLogin(event, output);
}
