/**
 * Decides everything about a bottle: names, doors, policy, argv, environment, files. Pure and synchronous: what varies
 * comes in as facts. Holds secret names only. After it, no default is chosen and no path invented.
 */
import type { BackendName, DoorPlan, MountPlan } from "../backends/contract.ts";
import { HostError, LaunchError, ManifestError, UsageError } from "../base/errors.ts";
import {
  type BottleId,
  type GuestPath,
  type HostPath,
  parseBottleId,
  parseGuestPath,
  slugify,
} from "../base/ids.ts";
import { type BottlePaths, bottlePaths } from "../base/paths.ts";
import { planBundle } from "../bundle/plan-bundle.ts";
import type { Manifest } from "../manifest/types.ts";
import type { EgressConfig } from "../policy/egress.ts";
import type { Provider, ProviderPlan } from "../providers/provider.ts";
import { PROVIDER_NAMES, providerNamed } from "../providers/registry.ts";
import { guestEtc } from "../provision/etc.ts";
import { gitConfigFile } from "../provision/git-identity.ts";
import {
  PLAN_VERSION,
  type AgentPlan,
  type BottlePlan,
  type Facts,
  type SecretPlan,
  type StartOptions,
} from "./plan.ts";
import { agentEnvironment, environmentSecrets } from "./resolve-env.ts";
import { type ResolvedRoutes, resolveRoutes, TokenSlots } from "./resolve-routes.ts";

export const GUEST_HOME: GuestPath = parseGuestPath("/home/node");
export const GUEST_WORKSPACE: GuestPath = parseGuestPath("/home/node/workspace");
export const GUEST_DOORS: GuestPath = parseGuestPath("/run/bot-bottle/doors");
/** Directory of agents' programs that are bound from the host. */
export const GUEST_AGENTS: GuestPath = parseGuestPath("/opt/agents");
export const GUEST_PROMPT: GuestPath = parseGuestPath("/home/node/.bot-bottle-prompt.txt");
/** Longest unix socket path that every system accepts is 103 bytes (macOS); the longest name below run is `/doors/proxy.sock`. */
export const MAX_SOCKET_PATH = 100;
const LONGEST_SOCKET_NAME = "/doors/supervise.sock".length;
/** Size of each tmpfs of the guest. */
export const DEFAULT_TMPFS_BYTES: number = 1024 ** 3;
/** Processes and threads in the guest when the bottle says nothing: far above any build, far below a fork bomb. */
export const DEFAULT_PROCESSES = 4096;

/** Resolves a plan. Throws ManifestError, UsageError, HostError or LaunchError; touches nothing. */
export function resolvePlan(manifest: Manifest, facts: Facts, options: StartOptions): BottlePlan {
  const { agent, bottle } = manifest;
  const provider = resolveProvider(bottle.provider.template);
  const backend = resolveBackend(manifest, facts, options);
  refuseUnenforced(manifest, backend);
  const id = resolveId(agent.name, facts, options);
  const paths = bottlePaths(facts.home, id, resolveRunDirectory(facts));
  const workdir = options.copyCwd ? GUEST_WORKSPACE : GUEST_HOME;
  const slots = new TokenSlots(facts.random.nonce);
  const described = describeProvider(manifest, provider, { slots, workdir, label: options.label });
  const routes = resolveRoutes({
    bottle,
    providerName: provider.name,
    providerRoutes: described.routes,
    allow: options.allow,
    slots,
  });
  const secrets: readonly SecretPlan[] = [
    ...routes.secrets,
    ...environmentSecrets(bottle.env),
    {
      slot: "CANARY",
      source: { kind: "generated", name: facts.random.canaryName },
      guestVariable: facts.random.canaryName,
    },
  ];
  const doors = resolveDoors();
  const env = agentEnvironment({ manifest, facts, id, doors, routes, provider: described });
  const git = gitConfigFile(GUEST_HOME, { bottle: bottle.gitUser, agent: agent.gitUser });
  return {
    version: PLAN_VERSION,
    id,
    agentName: agent.name,
    bottleNames: bottle.names,
    provider: provider.name,
    label: options.label,
    color: options.color,
    backend,
    attachment: "sockets",
    home: facts.home,
    paths,
    guest: resolveGuest(manifest, { facts, options, id, paths, doors, provider }),
    bundle: resolveBundle({ manifest, facts, id, paths, routes, secrets }),
    policy: routes.policy,
    secrets,
    workspace: options.copyCwd
      ? { hostSource: facts.userCwd, hostCopy: paths.workspace, guestPath: GUEST_WORKSPACE }
      : undefined,
    files: [
      ...described.files,
      { path: GUEST_PROMPT, mode: 0o600, content: agent.prompt },
      ...(git === undefined ? [] : [git]),
    ],
    skills: resolveSkills(manifest, facts, provider),
    etc: guestEtc({ hostname: id, doors }),
    upstreamCaFiles: bottle.egress.upstreamCa,
    agent: {
      ...resolveSession(manifest, provider, described, options),
      cwd: workdir,
      env,
      hiddenEnvNames: described.hiddenEnvNames,
    },
    keep: options.keep,
    userCwd: facts.userCwd,
    notes: resolveNotes(manifest, backend),
  };
}

function resolveProvider(template: string): Provider {
  const provider = providerNamed(template);
  if (provider !== undefined) return provider;
  throw new ManifestError(
    "manifest.invalid",
    `agent_provider.template "${template}" is unknown; one of ${PROVIDER_NAMES.join(", ")} is expected`,
  );
}

function resolveBackend(manifest: Manifest, facts: Facts, options: StartOptions): BackendName {
  const backend = options.backend ?? manifest.bottle.backend ?? facts.defaultBackend;
  if (backend !== undefined) return backend;
  throw new HostError("host.no-backend", "no backend works on this machine", {
    hint: "run bot-bottle doctor",
  });
}

/** Settings that are valid and would not be enforced: refused, so that no bottle is weaker than its file says. */
function refuseUnenforced(manifest: Manifest, backend: BackendName): void {
  const { bottle } = manifest;
  const refuse = (isAsked: boolean, what: string, remedy: string): void => {
    if (!isAsked) return;
    throw new ManifestError(
      "manifest.unsupported",
      `${what} is not available in this version, so the bottle is refused`,
      { hint: remedy },
    );
  };
  refuse(
    bottle.gitRepos.length > 0,
    "git-gate.repos",
    "remove git-gate.repos from the bottle file",
  );
  refuse(bottle.egress.pipelock === "required", "egress.pipelock: required", "write pipelock: off");
  refuse(
    bottle.provider.forwardHostCredentials,
    "agent_provider.forward_host_credentials",
    "use agent_provider.auth_token",
  );
  refuse(
    bottle.attachment !== "auto" && bottle.attachment !== "sockets",
    `attachment: ${bottle.attachment}`,
    "write attachment: auto",
  );
  refuse(
    bottle.runtime !== undefined && backend === "bubblewrap",
    `runtime: ${bottle.runtime ?? ""} on bubblewrap`,
    "remove runtime from the bottle file",
  );
  refuse(
    bottle.limits.diskBytes !== undefined,
    "limits.disk",
    "remove limits.disk from the bottle file",
  );
}

function resolveNotes(manifest: Manifest, backend: BackendName): readonly string[] {
  const { bottle } = manifest;
  const notes = [...manifest.warnings];
  if (backend === "bubblewrap" && bottle.provider.dockerfile !== undefined)
    notes.push("dockerfile is not used: bubblewrap shows the host's /usr instead of an image");
  if (bottle.egress.pipelock === "auto") notes.push("pipelock: auto is off in this version");
  if (bottle.supervise)
    notes.push("supervise: requests to the operator are refused in this version");
  notes.push("scanned in what leaves: known secrets; no other detectors in this version");
  if (backend === "fake") notes.push("the fake backend isolates nothing");
  return notes;
}

function resolveId(agentName: string, facts: Facts, options: StartOptions): BottleId {
  if (options.label === undefined)
    return parseBottleId(`${slugify(agentName)}-${facts.random.suffix}`);
  const wanted = slugify(options.label);
  if (!facts.takenNames.includes(wanted)) return parseBottleId(wanted);
  if (options.mode === "attached") {
    throw new LaunchError(
      "launch.name-taken",
      `name taken: a bottle called "${wanted}" exists already`,
      {
        hint: "choose another --label, or remove it with bot-bottle cleanup",
      },
    );
  }
  for (let number = 2; ; number += 1) {
    const next = `${wanted}-${number}`;
    if (!facts.takenNames.includes(next)) return parseBottleId(next);
  }
}

/** The run directory, moved out of home where a socket's path would be too long for the system. */
function resolveRunDirectory(facts: Facts): HostPath {
  const usual = `${facts.home.run}/${facts.random.runName}`;
  if (Buffer.byteLength(usual) + LONGEST_SOCKET_NAME <= MAX_SOCKET_PATH) return usual as HostPath;
  return `${facts.runtimeBase}/bot-bottle-${facts.random.runName}` as HostPath;
}

/** Doors of this version: the proxy. */
function resolveDoors(): readonly DoorPlan[] {
  return [{ name: "proxy", port: 9099, hostname: "egress" }];
}

interface DescribeInput {
  readonly slots: TokenSlots;
  readonly workdir: GuestPath;
  readonly label: string | undefined;
}

function describeProvider(
  manifest: Manifest,
  provider: Provider,
  input: DescribeInput,
): ProviderPlan {
  const { authToken, authKind, settings } = manifest.bottle.provider;
  return provider.describe({
    guestHome: GUEST_HOME,
    workdir: input.workdir,
    hasPrompt: manifest.agent.prompt !== "",
    promptPath: GUEST_PROMPT,
    promptText: manifest.agent.prompt,
    placeholder: authToken === undefined ? undefined : input.slots.slotOf(authToken).placeholder,
    authKind,
    settings,
    label: input.label,
    caBundlePath: parseGuestPath("/etc/ssl/certs/ca-certificates.crt"),
  });
}

function resolveSession(
  manifest: Manifest,
  provider: Provider,
  described: ProviderPlan,
  options: StartOptions,
): Pick<AgentPlan, "mode" | "argv"> {
  const { mode, prompt, command } = options;
  if (command !== undefined) {
    if (command.length === 0)
      throw new UsageError("usage.invalid", 'nothing follows "--"; a program is expected');
    return { mode, argv: command };
  }
  if (mode === "attached") return { mode, argv: described.interactiveArgv };
  if (prompt !== undefined) return { mode, argv: described.headlessArgv(prompt) };
  if (provider.runsWithoutPrompt) return { mode, argv: described.interactiveArgv };
  throw new UsageError(
    "usage.prompt-needed",
    `a headless start of ${manifest.agent.name} needs something to do`,
    {
      hint: `add --prompt "…", or -- and a program, after --headless`,
    },
  );
}

function resolveSkills(manifest: Manifest, facts: Facts, provider: Provider): BottlePlan["skills"] {
  return manifest.agent.skills.map((name) => {
    const hostPath = facts.skills[name];
    if (hostPath === undefined || provider.skillsDir === undefined) {
      const where =
        provider.skillsDir === undefined
          ? `provider ${provider.name} has no skills`
          : `~/${provider.skillsDir.host}/${name} does not exist`;
      throw new ManifestError("manifest.invalid", `skill "${name}" cannot be given: ${where}`, {
        hint: `remove it from ${manifest.agent.file}, or add the skill`,
      });
    }
    return {
      name,
      hostPath,
      guestPath: parseGuestPath(`${GUEST_HOME}/${provider.skillsDir.guest}/${name}`),
    };
  });
}

interface GuestInput {
  readonly facts: Facts;
  readonly options: StartOptions;
  readonly id: BottleId;
  readonly paths: BottlePaths;
  readonly doors: readonly DoorPlan[];
  readonly provider: Provider;
}

function resolveGuest(manifest: Manifest, input: GuestInput): BottlePlan["guest"] {
  const { facts, options, paths } = input;
  const { limits } = manifest.bottle;
  return {
    id: input.id,
    hostname: input.id,
    homeDir: paths.guestHome,
    workspaceDir: options.copyCwd ? paths.workspace : undefined,
    etcDir: paths.guestEtc,
    doorsDir: paths.doors,
    logsDir: paths.logs,
    guestHome: GUEST_HOME,
    guestWorkspace: options.copyCwd ? GUEST_WORKSPACE : undefined,
    guestDoors: GUEST_DOORS,
    doors: input.doors,
    mounts: [
      ...manifest.bottle.mounts.map(({ host, guest }) => ({
        hostPath: host,
        guestPath: parseGuestPath(guest),
      })),
      ...programMounts(input),
    ],
    limits: {
      memoryBytes: limits.memoryBytes,
      processes: limits.processes ?? DEFAULT_PROCESSES,
      cpus: limits.cpus,
      tmpfsBytes: Math.min(DEFAULT_TMPFS_BYTES, limits.memoryBytes ?? DEFAULT_TMPFS_BYTES),
    },
    hostUid: facts.isRoot ? facts.freeUid : undefined,
    nodePath: facts.nodePath,
    guestInitPath: facts.guestInitPath,
    allowsUserNamespaces: false,
    terminal: facts.hasTerminal ? "shared" : "separate",
  };
}

/** The agent's program, bound alone where the guest would not see it otherwise. */
function programMounts({ facts, options, provider }: GuestInput): readonly MountPlan[] {
  if (provider.program === undefined || options.command !== undefined) return [];
  if (facts.program === undefined) {
    throw new HostError(
      "host.agent-missing",
      `${provider.title} is not installed: "${provider.program.name}" is not on PATH`,
      {
        hint: `npm install -g ${provider.program.npmPackage}`,
      },
    );
  }
  return facts.program.mounts;
}

interface BundleInput {
  readonly manifest: Manifest;
  readonly facts: Facts;
  readonly id: BottleId;
  readonly paths: BottlePaths;
  readonly routes: ResolvedRoutes;
  readonly secrets: readonly SecretPlan[];
}

function resolveBundle({
  manifest,
  facts,
  id,
  paths,
  routes,
  secrets,
}: BundleInput): BottlePlan["bundle"] {
  const { egress } = manifest.bottle;
  const config: EgressConfig = {
    policy: routes.policy,
    logLevel: egress.log,
    upstreamCa: [],
    upstreamProxy: egress.upstreamProxy,
    scanSlots: secrets
      .filter((secret) => secret.guestVariable !== undefined)
      .map((secret) => secret.slot),
    placeholders: routes.policy.routes.flatMap(({ auth, host, port }) =>
      auth === undefined ? [] : [{ value: auth.placeholder, host, port }],
    ),
    caCertificate: "",
  };
  return planBundle({
    id,
    paths,
    egress: config,
    nodePath: facts.nodePath,
    entryPath: facts.bundlePath,
  });
}
