/** Opens what a bottle consists of: its authority, its bundle, its guest. Each is owned by the scope it is given. */
import { mkdirSync, writeFileSync } from "node:fs";
import { chmod, chown } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { AttachmentValues, Guest, GuestResources } from "../backends/contract.ts";
import { HostError, LaunchError, messageOf, systemCode } from "../base/errors.ts";
import type { Scope } from "../base/scope.ts";
import { Secret, type Secrets } from "../base/secret.ts";
import type { BundleHandle, BundleStage } from "../bundle/contract.ts";
import { CA_KEY_SLOT } from "../policy/egress.ts";
import { openAuditLog } from "../protocol/audit-log.ts";
import { policyOf, writePolicy } from "../protocol/policy.ts";
import type { BottleRecord } from "../protocol/record.ts";
import { GUEST_CA_FILES, mergedCaBundle } from "../provision/ca.ts";
import { copyHostEtc } from "../provision/host-etc.ts";
import { proxyEnv } from "../provision/proxy-env.ts";
import { findWaysOut } from "../provision/ways-out.ts";
import type { TreeSnapshot } from "../provision/work-kept.ts";
import { copyWorkspace } from "../provision/workspace.ts";
import { type CertificateAuthority, createAuthority } from "../tls/authority.ts";
import { hostWriteError } from "./claim.ts";
import type { LaunchState } from "./launch.ts";
import type { BottlePlan } from "./plan.ts";
import { loginSlots } from "./resolve-credential.ts";
import { readUpstreamCa } from "./upstream-ca.ts";

/** Days a bottle's authority is valid; a resumed bottle gets a new one. */
const AUTHORITY_DAYS = 30;
/** Descriptors of a guest that nobody watches. */
const NO_STDIO = ["ignore", "ignore", "ignore"] as const;

/** Variables of every session: the plan's literals and the values the operator gives to the guest on purpose. */
export function guestEnvironment(
  plan: BottlePlan,
  secrets: Secrets,
): Readonly<Record<string, string>> {
  const env: Record<string, string> = { ...plan.agent.env };
  for (const { slot, guestVariable } of plan.secrets) {
    if (guestVariable === undefined) continue;
    const secret = secrets.get(slot);
    if (secret !== undefined) env[guestVariable] = secret.reveal();
  }
  return env;
}

/** Makes the bottle's certificate authority; its key stays in this process and the bundle's memory. */
export function openAuthority(state: LaunchState): CertificateAuthority {
  const { plan, options } = state;
  return createAuthority({
    commonName: `bot-bottle ${plan.id}`,
    now: options.ports.clock.now(),
    days: AUTHORITY_DAYS,
  });
}

export interface BundleInput {
  readonly makeAuthority: () => CertificateAuthority;
  readonly onStage: (stage: BundleStage) => void;
  readonly onFailing: (error: unknown) => void;
}

/** Starts the bundle; resolves when every door accepts. */
export async function openBundle(
  state: LaunchState,
  scope: Scope,
  { makeAuthority, onStage, onFailing }: BundleInput,
): Promise<BundleHandle> {
  const { plan, options, keeper, events } = state;
  await state.step("bundle");
  const authority = makeAuthority();
  const secrets = new Map(options.secrets);
  secrets.set(CA_KEY_SLOT, new Secret(CA_KEY_SLOT, authority.keyPem));
  const upstreamCa = readUpstreamCa(plan);
  const handle = await options.ports.bundleHost.launch(plan.bundle, {
    ports: options.ports,
    secrets,
    configOverlay: { egress: { caCertificate: authority.certificatePem, upstreamCa } },
    signal: state.signal,
    onEvent: (event) => events.emit({ kind: "decision", event }),
    onResources: (resources) =>
      keeper.update({
        bundle: resources.processes.map(recordedProcess),
        bundle_objects: recordedObjects(resources.objects ?? {}),
      }),
    onProgress: (detail) => events.emit({ kind: "progress", step: "bundle", detail }),
    onAudit: (state, detail) =>
      events.emit({ kind: "audit", state, detail, path: plan.paths.audit }),
    onReloaded: (name, config) => {
      if (name === "egress") writePolicy(plan.paths.state, policyOf(config));
    },
    onCredentialRefused: (slot) => void state.logins.get(slot)?.refused(),
    onStage,
    onFailing,
    onRestart: (reason) => {
      auditRestart(state, reason);
      events.emit({ kind: "bundle-restarted", reason });
    },
  });
  // A launch that failed leaves nothing, not for a moment: the next one may have the same name.
  scope.defer("bundle on the engine", () => (state.outcome.isRunning ? undefined : handle.gone));
  return scope.use("bundle", handle);
}

/** Keeps the operator's own logins new for as long as the bottle lives. */
export async function openLogins(
  { plan, options, events, logins }: LaunchState,
  bundle: BundleHandle,
  scope: Scope,
): Promise<void> {
  const slots = loginSlots(plan.secrets);
  if (slots.length === 0) return;
  const { LoginKeeper } = await import("./keep-login.ts");
  const { clock, log } = options.ports;
  for (const { slot, ref } of slots) {
    const current = options.secrets.get(slot);
    const keeper = new LoginKeeper({ slot, ref, current, bundle, events, clock, log });
    scope.defer("host login", () => keeper[Symbol.dispose]());
    logins.set(slot, keeper);
  }
}

/** The process that died writes no more, and the next one does not write yet. */
function auditRestart({ plan, options }: LaunchState, reason: string): void {
  const { clock, log } = options.ports;
  try {
    const audit = openAuditLog(plan.paths.audit, { bottle: plan.id, clock });
    using _open = { [Symbol.dispose]: () => audit.close() };
    audit.append({ kind: "bundle", detail: `started again: ${reason}` });
  } catch (error) {
    // Where nothing can be written, the next bundle denies everything.
    log.warn("restart of the bundle not audited", { error: messageOf(error) });
  }
}

function recordedGuest(resources: GuestResources): BottleRecord["guest"] {
  return {
    processes: resources.processes.map(recordedProcess),
    cgroups: [...resources.cgroups],
    objects: recordedObjects(resources.objects),
  };
}

function recordedObjects(
  objects: Readonly<Record<string, readonly string[]>>,
): Record<string, string[]> {
  return Object.fromEntries(Object.entries(objects).map(([kind, names]) => [kind, [...names]]));
}

function recordedProcess(process: { readonly pid: number; readonly startTime: string }): {
  pid: number;
  start_time: string;
} {
  return { pid: process.pid, start_time: process.startTime };
}

/** The guest and what it was given as workspace. */
export interface OpenedGuest {
  readonly guest: Guest;
  readonly workspace: TreeSnapshot | undefined;
}

export interface GuestInput {
  readonly makeAuthority: () => CertificateAuthority;
  /** Resolved when the guest has been started, or never will be. */
  readonly started: PromiseWithResolvers<void>;
  readonly attachment: AttachmentValues | undefined;
  /** Settles when the guest's network stands; undefined where it has none, or where it stands already. */
  readonly network: Promise<void> | undefined;
}

/**
 * Copies the workspace and starts the guest; resolves when guest-init holds the relays and the guest's /etc is filled, which
 * happens while the guest starts: guest-init needs none of it.
 */
export async function openGuest(
  state: LaunchState,
  scope: Scope,
  { makeAuthority, started, attachment, network }: GuestInput,
): Promise<OpenedGuest> {
  const { plan } = state;
  refuseOpenMounts(plan);
  await state.step("workspace");
  // Before the copy, which may be long: a root that cannot do the one cannot do the other.
  await giveToGuest(plan, plan.paths.guestHome);
  const workspace = await openWorkspace(state);
  await chmod(plan.paths.guestEtc, 0o755);
  await state.step("guest");
  const [guest, etc] = await Promise.allSettled([
    launchGuest(state, scope, { onStarted: started.resolve, attachment, network }).finally(
      started.resolve,
    ),
    started.promise.then(() => writeEtc(plan, makeAuthority())),
  ]);
  if (guest.status === "rejected") throw guest.reason;
  if (etc.status === "rejected") throw etc.reason;
  return { guest: guest.value, workspace };
}

interface LaunchGuestInput extends Pick<GuestInput, "attachment" | "network"> {
  readonly onStarted: () => void;
}

/** Variables that lead to doors whose place is known only now; the plan's lead to guest-init's relays. */
function attachmentEnv(
  plan: BottlePlan,
  attachment: AttachmentValues | undefined,
): Readonly<Record<string, string>> {
  if (attachment === undefined) return {};
  const doors = plan.guest.doors.flatMap((door) => {
    const endpoint = attachment.endpoints[door.name];
    return endpoint === undefined
      ? []
      : [{ ...door, hostname: endpoint.host, port: endpoint.port }];
  });
  return proxyEnv(doors);
}

/** Throws LaunchError `launch.backend` when a mount would give the guest a way out. */
function refuseOpenMounts({ guest }: BottlePlan): void {
  const faults = findWaysOut(guest.mounts.map(({ hostPath }) => hostPath));
  if (faults.length === 0) return;
  throw new LaunchError(
    "launch.backend",
    `a mount would give the guest a way out: ${faults.join("; ")}; files and directories without sockets are expected`,
    { hint: "mount only the files that the agent needs" },
  );
}

async function launchGuest(
  state: LaunchState,
  scope: Scope,
  { onStarted, attachment, network }: LaunchGuestInput,
): Promise<Guest> {
  const { plan, options, keeper, events } = state;
  const guest = await options.ports.backend.launch(plan.guest, {
    ports: options.ports,
    signal: state.signal,
    guestEnv: { ...state.env, ...attachmentEnv(plan, attachment) },
    attachment,
    ...(network === undefined ? {} : { network }),
    onProgress: (detail) => events.emit({ kind: "progress", step: "guest", detail }),
    stdio: (await options.stdio) ?? NO_STDIO,
    onResources: async (resources) => {
      await keeper.update({ guest: recordedGuest(resources) });
      if (resources.processes.length > 0) onStarted();
    },
    onStarting: onStarted,
  });
  return scope.use("guest", guest);
}

/** Writes the guest's /etc: readable by any uid, because the guest's own may not be ours. */
async function writeEtc(plan: BottlePlan, authority: CertificateAuthority): Promise<void> {
  const files: Record<string, string> = {
    ...plan.etc,
    [GUEST_CA_FILES.own]: authority.certificatePem,
    [GUEST_CA_FILES.merged]: await mergedCaBundle(authority.certificatePem),
  };
  try {
    copyHostEtc(plan.paths.guestEtc);
    for (const [path, content] of Object.entries(files)) {
      const file = join(plan.paths.guestEtc, path);
      mkdirSync(dirname(file), { recursive: true, mode: 0o755 });
      writeFileSync(file, content, { mode: 0o644 });
    }
  } catch (error) {
    throw hostWriteError(error, plan.paths.guestEtc);
  }
}

async function openWorkspace(state: LaunchState): Promise<TreeSnapshot | undefined> {
  const { plan, events } = state;
  if (plan.workspace === undefined) return undefined;
  const { hostSource, hostCopy } = plan.workspace;
  const owner = plan.guest.hostUid;
  const copy = await copyWorkspace({
    source: hostSource,
    target: hostCopy,
    signal: state.signal,
    owner: owner === undefined ? undefined : { uid: owner, gid: owner },
    onProgress: (detail) => events.emit({ kind: "progress", step: "workspace", detail }),
  });
  for (const warning of copy.warnings)
    events.emit({ kind: "progress", step: "workspace", detail: warning });
  return copy.snapshot;
}

/** Gives a directory to the uid that the guest runs as on the host. */
async function giveToGuest(plan: BottlePlan, directory: string): Promise<void> {
  const uid = plan.guest.hostUid;
  if (uid === undefined) return;
  try {
    await chown(directory, uid, uid);
  } catch (cause) {
    const code = systemCode(cause);
    if (code === "EINVAL" || code === "EPERM") {
      const why = code === "EINVAL" ? "its user namespace has no such uid" : "it may not (EPERM)";
      throw new HostError(
        "host.backend-unavailable",
        `this root cannot use other uids: files cannot be given to uid ${uid}: ${why}`,
        {
          hint: "run bot-bottle as an ordinary user, or give the container or namespace a range of uids",
          cause,
        },
      );
    }
    throw new LaunchError("launch.provision", `cannot give ${directory} to uid ${uid}`, { cause });
  }
}
