/**
 * Performs a plan. Each resource is owned on the line that acquires it; a failure at any step unwinds in reverse and throws
 * the first error. Bundle and guest come up side by side: the guest runs nothing but guest-init until isolation is proven
 * and the doors have answered.
 */
import type { Backend } from "../backends/contract.ts";
import type { Clock } from "../base/clock.ts";
import { CancelledError } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import { describeTeardown, Scope } from "../base/scope.ts";
import type { Secrets } from "../base/secret.ts";
import type { BundleHost } from "../bundle/contract.ts";
import type { Exec, StdioEntry } from "../process/exec.ts";
import { readOwner } from "../process/identity.ts";
import { openAuditLog } from "../protocol/audit-log.ts";
import { writePolicy } from "../protocol/policy.ts";
import { Bottle, type BottleParts } from "./bottle.ts";
import { claimName, hostWriteError, openRunDirectory, type RecordKeeper } from "./claim.ts";
import { EventHub } from "./events.ts";
import type { LoginKeeper } from "./keep-login.ts";
import { openBoth } from "./open-both.ts";
import { guestEnvironment, openLogins } from "./open-parts.ts";
import type { BottlePlan } from "./plan.ts";
import { provisionGuest } from "./provision-guest.ts";
import { closeAudit, closeRecord, removeRunDirectory } from "./settle.ts";
import type { LaunchStep, StepObserver } from "./steps.ts";
import { verifyDoors } from "./verify.ts";

export interface LaunchPorts {
  readonly exec: Exec;
  readonly clock: Clock;
  readonly log: Logger;
  /** PATH in which our helper programs are found. */
  readonly searchPath: string;
  /** The operator's environment, in which engines are looked for. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly backend: Backend;
  readonly bundleHost: BundleHost;
}

/** Descriptors 0-2 of a guest. */
export type GuestStdio = readonly [StdioEntry, StdioEntry, StdioEntry];

export interface LaunchOptions {
  readonly ports: LaunchPorts;
  readonly secrets: Secrets;
  readonly signal?: AbortSignal | undefined;
  /** The guest's descriptors 0-2, made safe; default /dev/null. They are waited for when the guest is started. */
  readonly stdio?: GuestStdio | Promise<GuestStdio>;
  readonly onStep?: StepObserver;
  /** Events from the first step on; the handle's `events()` begins later. */
  readonly events?: EventHub;
}

/** What every stage of one launch shares. */
export interface LaunchState {
  readonly plan: BottlePlan;
  readonly options: LaunchOptions;
  readonly signal: AbortSignal;
  readonly keeper: RecordKeeper;
  readonly events: EventHub;
  readonly env: Readonly<Record<string, string>>;
  /** Who keeps the operator's logins new, by slot; filled when the bundle runs. */
  readonly logins: Map<string, LoginKeeper>;
  /** Whether the launch has succeeded. */
  readonly outcome: { readonly isRunning: boolean };
  step(step: LaunchStep): Promise<void>;
}

/**
 * Launches a bottle. Throws LaunchError, HostError, SidecarError, TimeoutError or the signal's reason; whatever had been
 * acquired is then released, and teardown problems are logged beside the error, never thrown instead of it.
 */
export async function launch(plan: BottlePlan, options: LaunchOptions): Promise<Bottle> {
  const { ports } = options;
  const events = options.events ?? new EventHub();
  const cancel = new AbortController();
  const signal =
    options.signal === undefined ? cancel.signal : AbortSignal.any([cancel.signal, options.signal]);
  const step = async (name: LaunchStep): Promise<void> => {
    if (signal.aborted) throw cancelled(signal);
    events.emit({ kind: "step", step: name });
    await options.onStep?.(name);
    if (signal.aborted) throw cancelled(signal);
  };
  await using scope = new Scope({
    clock: ports.clock,
    onFailure: (failure) => ports.log.warn("teardown", { problem: describeTeardown([failure])[0] }),
  });
  await step("record");
  const keeper = claimName(plan, readOwner(), ports.clock);
  const outcome = { isRunning: false };
  scope.defer("record", () =>
    closeRecord(plan, keeper, { clock: ports.clock, isAbandoned: !outcome.isRunning }),
  );
  const state: LaunchState = {
    plan,
    options,
    signal,
    keeper,
    events,
    env: guestEnvironment(plan, options.secrets),
    logins: new Map(),
    outcome,
    step,
  };
  const parts = await openParts(state, scope, cancel);
  await keeper.update({ status: "running" });
  await step("running");
  outcome.isRunning = true;
  return new Bottle(plan, parts, scope.move());
}

function cancelled(signal: AbortSignal): unknown {
  return signal.reason ?? new CancelledError("launch cancelled");
}

async function openParts(
  state: LaunchState,
  scope: Scope,
  cancel: AbortController,
): Promise<BottleParts> {
  const { plan, options, keeper } = state;
  await state.step("directories");
  scope.defer("run directory", () => removeRunDirectory(plan));
  openRunDirectory(plan);
  notePolicy(plan);
  await state.step("audit");
  openAudit(state);
  scope.defer("audit log", () => closeAudit(plan, keeper, options.ports.clock));
  await state.step("authority");
  const bundleScope = new Scope({ clock: options.ports.clock });
  const guestScope = new Scope({ clock: options.ports.clock });
  scope.defer("guest and bundle", () => closeBoth(guestScope, bundleScope, keeper));
  const { bundle, guest, workspace } = await openBoth(state, {
    bundleScope,
    guestScope,
    cancel,
  });
  await openLogins(state, bundle, scope);
  await state.step("doors");
  await verifyDoors(plan, guest, { attachment: bundle.attachment });
  await state.step("provision");
  await provisionGuest(state, guest, workspace);
  return { bundle, guest, keeper, events: state.events };
}

/** A program that still runs keeps its doors until it is gone. After the agent's end nothing needs them any more. */
async function closeBoth(guest: Scope, bundle: Scope, keeper: RecordKeeper): Promise<void> {
  const { exit_code, exit_signal } = keeper.record;
  const first = guest.close();
  if (exit_code === null && exit_signal === null) await first;
  const failures = [...(await bundle.close()), ...(await first)];
  if (failures.length > 0) throw new Error(describeTeardown(failures).join("; "));
}

/** Whoever asks later what the bottle may do, or might, is answered from this. */
function notePolicy(plan: BottlePlan): void {
  try {
    writePolicy(plan.paths.state, plan.policy);
  } catch (error) {
    throw hostWriteError(error, plan.paths.state);
  }
}

/** The owner writes the audit log before the bundle starts and after it ends; between, only the bundle does. */
function openAudit(state: LaunchState): void {
  const { plan, options } = state;
  try {
    const audit = openAuditLog(plan.paths.audit, { bottle: plan.id, clock: options.ports.clock });
    using _open = { [Symbol.dispose]: () => audit.close() };
    audit.append({
      kind: "launch",
      detail: `agent ${plan.agentName}, backend ${plan.backend}, attachment ${plan.attachment}`,
    });
    for (const route of plan.policy.routes) {
      audit.append({
        kind: "policy",
        verdict: "allow",
        host: route.host,
        rule: route.rule,
        reason: "granted",
      });
    }
  } catch (error) {
    throw hostWriteError(error, plan.paths.audit);
  }
}
