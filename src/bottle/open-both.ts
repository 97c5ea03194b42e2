/**
 * Opens bundle and guest side by side, and proves the guest's isolation as soon as it can be proven: each begins when what it
 * needs of the other is there, not later. Invariant: when one fails the other is cancelled, and the first error wins.
 */
import type { AttachmentValues, GuestPlan } from "../backends/contract.ts";
import { ignore } from "../base/log.ts";
import type { Scope } from "../base/scope.ts";
import type { BundleHandle, BundleStage } from "../bundle/contract.ts";
import type { CertificateAuthority } from "../tls/authority.ts";
import type { LaunchState } from "./launch.ts";
import {
  type GuestInput,
  type OpenedGuest,
  openAuthority,
  openBundle,
  openGuest,
} from "./open-parts.ts";
import { doorAddressOf } from "./resolve-network.ts";
import { verifyIsolation } from "./verify.ts";

/** What the launch owns them with. */
export interface BothInput {
  readonly bundleScope: Scope;
  readonly guestScope: Scope;
  /** Cancels what is left when one of them fails. */
  readonly cancel: AbortController;
}

/** A bundle that is ready, and a guest that is cut off; the doors have not been tried from inside. */
export interface OpenedBoth extends OpenedGuest {
  readonly bundle: BundleHandle;
}

/** Throws the first error; what was opened is left to the scopes. */
export async function openBoth(state: LaunchState, input: BothInput): Promise<OpenedBoth> {
  let first: { error: unknown } | undefined;
  const fail = (error: unknown): void => {
    first ??= { error };
    input.cancel.abort(error);
  };
  const guard = async <T>(work: Promise<T>): Promise<T> => {
    try {
      return await work;
    } catch (error) {
      fail(error);
      throw error;
    }
  };
  let made: CertificateAuthority | undefined;
  const makeAuthority = (): CertificateAuthority => (made ??= openAuthority(state));
  const started = Promise.withResolvers<void>();
  const stages = new Stages();
  const failing = Promise.withResolvers<void>();
  const onFailing = (error: unknown): void => {
    fail(error);
    stages.fail(error);
    failing.resolve();
  };
  const onStage = (stage: BundleStage): void => stages.reach(stage);
  const open = (): Promise<BundleHandle> =>
    stages.follow(openBundle(state, input.bundleScope, { makeAuthority, onStage, onFailing }));
  const { guest: plan } = state.plan;
  const hasSockets = plan.attachment === "sockets";
  // With sockets the guest takes longer to come up; otherwise it needs the bundle's network.
  const bundle = guard(hasSockets ? started.promise.then(open) : open());
  const opening = (attachment: AttachmentValues | undefined): Promise<OpenedGuest> =>
    openProven(state, input.guestScope, { makeAuthority, started, attachment, stages });
  // Where the engine chooses the doors' places, they are known only once the bundle runs.
  const guest = guard(
    plan.attachment === "tsi"
      ? bundle.then((handle) => opening(handle.attachment))
      : opening(plannedAttachment(plan)),
  ).finally(started.resolve);
  // The bundle cannot remove the network while the guest is on it.
  const over = failing.promise.then(() => Promise.allSettled([guest]));
  void over.then(() => input.guestScope.close());
  const [guested, bundled] = await Promise.allSettled([guest, bundle]);
  if (first !== undefined) throw first.error;
  if (bundled.status === "rejected") throw bundled.reason;
  if (guested.status === "rejected") throw guested.reason;
  return { bundle: bundled.value, ...guested.value };
}

/** How far the bundle's first life has come. */
class Stages {
  readonly #stages = {
    network: Promise.withResolvers<void>(),
    joined: Promise.withResolvers<void>(),
  } as const satisfies Record<BundleStage, PromiseWithResolvers<void>>;

  constructor() {
    for (const { promise } of Object.values(this.#stages))
      void ignore(promise, "the bundle's own failure tells it");
  }

  reach(stage: BundleStage): void {
    this.#stages[stage].resolve();
  }

  when(stage: BundleStage): Promise<void> {
    return this.#stages[stage].promise;
  }

  /** A bundle that is ready has passed all stages; one that failed reaches none. */
  async follow(work: Promise<BundleHandle>): Promise<BundleHandle> {
    try {
      const handle = await work;
      for (const { resolve } of Object.values(this.#stages)) resolve();
      return handle;
    } catch (error) {
      this.fail(error);
      throw error;
    }
  }

  fail(error: unknown): void {
    for (const { reject } of Object.values(this.#stages)) reject(error);
  }
}

/** With `internal` everything follows from the plan; with `sockets` there is nothing to know. */
function plannedAttachment({
  attachment,
  network,
  doors,
}: GuestPlan): AttachmentValues | undefined {
  const host = doorAddressOf(attachment, network);
  if (host === undefined) return undefined;
  return { endpoints: Object.fromEntries(doors.map(({ name, port }) => [name, { host, port }])) };
}

interface ProvenInput extends Omit<GuestInput, "network"> {
  readonly stages: Stages;
}

async function openProven(
  state: LaunchState,
  scope: Scope,
  { stages, ...input }: ProvenInput,
): Promise<OpenedGuest> {
  const { plan, options, events } = state;
  const network = plan.attachment === "internal" ? stages.when("network") : undefined;
  const opened = await openGuest(state, scope, { ...input, network });
  await state.step("isolation");
  const onWarning = (detail: string): void => {
    options.ports.log.warn(detail);
    events.emit({ kind: "progress", step: "isolation", detail });
  };
  const { attachment } = input;
  const whenJoined = stages.when("joined");
  await verifyIsolation(plan, opened.guest, { attachment, whenJoined, onWarning });
  return opened;
}
