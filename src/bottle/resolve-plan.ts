/**
 * Decides everything about a bottle: names, doors, policy, argv, environment, files. Pure and synchronous: what varies
 * comes in as facts. Holds secret names only. After it, no default is chosen and no path invented.
 */
import type { AttachmentKind, BackendName, DoorPlan, NetworkPlan } from "../backends/contract.ts";
import { HostError, LaunchError, ManifestError, UsageError } from "../base/errors.ts";
import {
  type BottleId,
  type GuestPath,
  type HostPath,
  parseBottleId,
  parseGuestPath,
  parseHostPath,
  slugify,
} from "../base/ids.ts";
import { type BottlePaths, bottlePaths } from "../base/paths.ts";
import { planBundle } from "../bundle/plan-bundle.ts";
import type { Manifest } from "../manifest/types.ts";
import type { EgressConfig } from "../policy/egress.ts";
import type { Provider, ProviderPlan, ProvisionedFile } from "../providers/provider.ts";
import { PROVIDER_NAMES, providerNamed } from "../providers/registry.ts";
import { guestEtc } from "../provision/etc.ts";
import { gitConfigFile } from "../provision/git-identity.ts";
import { GUEST_HOME, GUEST_PROMPT, GUEST_WORKSPACE } from "./guest-paths.ts";
import {
  type AgentPlan,
  type BottlePlan,
  type Facts,
  PLAN_VERSION,
  type SecretPlan,
  type StartOptions,
} from "./plan.ts";
import { loginSlots, type ProviderCredential, resolveCredential } from "./resolve-credential.ts";
import { agentEnvironment, environmentSecrets } from "./resolve-env.ts";
import { resolveGuest } from "./resolve-guest.ts";
import { doorAddressOf, resolveNetwork } from "./resolve-network.ts";
import { type ResolvedRoutes, resolveRoutes, TokenSlots } from "./resolve-routes.ts";
import { refuseUnenforced, resolveNotes, resolveWarnings } from "./unenforced.ts";

/** Longest unix socket path that every system accepts is 103 bytes (macOS); the longest name below run is `/doors/proxy.sock`. */
export const MAX_SOCKET_PATH = 100;
const LONGEST_SOCKET_NAME = "/doors/supervise.sock".length;
/** Resolves a plan. Throws ManifestError, UsageError, HostError or LaunchError; touches nothing. */
export function resolvePlan(manifest: Manifest, facts: Facts, options: StartOptions): BottlePlan {
  const { agent, bottle } = manifest;
  const provider = resolveProvider(bottle.provider.template);
  const backend = resolveBackend(manifest, facts, options);
  const id = resolveId(agent.name, facts, options);
  const attachment = facts.survey?.attachment ?? "sockets";
  refuseUnenforced(manifest, backend, attachment);
  const network = resolveBottleNetwork(id, attachment, facts);
  const paths = bottlePaths(facts.home, id, resolveRunDirectory(facts));
  const workdir = options.copyCwd ? GUEST_WORKSPACE : GUEST_HOME;
  const { described, routes, secrets } = resolveGrants(manifest, {
    provider,
    facts,
    options,
    workdir,
  });
  const doors = resolveDoors();
  const env = agentEnvironment({ manifest, facts, id, doors, routes, provider: described });
  return {
    version: PLAN_VERSION,
    id,
    agentName: agent.name,
    bottleNames: bottle.names,
    provider: provider.name,
    label: options.label,
    color: options.color,
    backend,
    attachment,
    home: facts.home,
    paths,
    guest: resolveGuest(manifest, {
      ...{ facts, options, id, paths, doors, provider },
      ...{ backend, attachment, network },
    }),
    bundle: resolveBundle({ manifest, facts, id, paths, routes, secrets, attachment, network }),
    policy: routes.policy,
    secrets,
    workspace: options.copyCwd
      ? { hostSource: facts.userCwd, hostCopy: paths.workspace, guestPath: GUEST_WORKSPACE }
      : undefined,
    files: resolveFiles(manifest, described),
    skills: resolveSkills(manifest, facts, provider),
    etc: guestEtc({ hostname: id, doors, doorAddress: doorAddressOf(attachment, network) }),
    upstreamCaFiles: bottle.egress.upstreamCa,
    upstreamCaFrom: bottle.egress.upstreamCaFrom,
    agent: {
      ...resolveSession(manifest, provider, described, options),
      cwd: workdir,
      env,
      hiddenEnvNames: described.hiddenEnvNames,
    },
    keep: options.keep,
    userCwd: facts.userCwd,
    notes: resolveNotes(manifest, backend),
    warnings: resolveWarnings(manifest, backend),
  };
}

/** What is put into the guest's home. */
function resolveFiles(
  { agent, bottle }: Manifest,
  { files }: ProviderPlan,
): readonly ProvisionedFile[] {
  const git = gitConfigFile(GUEST_HOME, { bottle: bottle.gitUser, agent: agent.gitUser });
  const prompt = { path: GUEST_PROMPT, mode: 0o600, content: agent.prompt };
  return [...files, prompt, ...(git === undefined ? [] : [git])];
}

interface GrantInput {
  readonly provider: Provider;
  readonly facts: Facts;
  readonly options: StartOptions;
  readonly workdir: GuestPath;
}

/** What the bottle may reach and which secrets that needs. */
function resolveGrants(
  manifest: Manifest,
  input: GrantInput,
): {
  readonly described: ProviderPlan;
  readonly routes: ResolvedRoutes;
  readonly secrets: readonly SecretPlan[];
} {
  const { bottle } = manifest;
  const { provider, facts, options, workdir } = input;
  const slots = new TokenSlots(facts.random.nonce);
  const credential = resolveCredential(manifest, provider, facts, options);
  const described = describeProvider(manifest, provider, {
    slots,
    workdir,
    label: options.label,
    credential,
  });
  const routes = resolveRoutes({
    bottle,
    providerName: provider.name,
    providerRoutes: described.routes,
    providerCredential: credential?.ref,
    allow: options.allow,
    slots,
  });
  const secrets: readonly SecretPlan[] = [
    ...[...routes.secrets, ...environmentSecrets(bottle.env)].map((it) => withPlaces(it, bottle)),
    {
      slot: "CANARY",
      source: { kind: "generated", name: facts.random.canaryName },
      guestVariable: facts.random.canaryName,
    },
  ];
  return { described, routes, secrets };
}

function withPlaces(secret: SecretPlan, { hostVariables }: Manifest["bottle"]): SecretPlan {
  const { kind, name } = secret.source;
  if (kind !== "env") return secret;
  return { ...secret, namedAt: hostVariables.filter((it) => it.name === name) };
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
  if (Buffer.byteLength(usual) + LONGEST_SOCKET_NAME <= MAX_SOCKET_PATH)
    return parseHostPath(usual);
  return parseHostPath(`${facts.runtimeBase}/bot-bottle-${facts.random.runName}`);
}

/** The bottle's own network, where its doors are on TCP. Names differ by backend so that one never meets the other's. */
function resolveBottleNetwork(
  id: BottleId,
  attachment: AttachmentKind,
  facts: Facts,
): NetworkPlan | undefined {
  if (attachment === "sockets") return undefined;
  const name = attachment === "tsi" ? `bot-bottle-bundle-${id}` : `bot-bottle-net-${id}`;
  return resolveNetwork(id, name, facts.survey?.takenSubnets ?? []);
}

/** Doors of this version: the proxy. */
function resolveDoors(): readonly DoorPlan[] {
  return [{ name: "proxy", port: 9099, hostname: "egress" }];
}

interface DescribeInput {
  readonly slots: TokenSlots;
  readonly workdir: GuestPath;
  readonly label: string | undefined;
  readonly credential: ProviderCredential | undefined;
}

function describeProvider(
  manifest: Manifest,
  provider: Provider,
  input: DescribeInput,
): ProviderPlan {
  const { authKind, settings } = manifest.bottle.provider;
  const { credential, slots } = input;
  return provider.describe({
    guestHome: GUEST_HOME,
    workdir: input.workdir,
    hasPrompt: manifest.agent.prompt !== "",
    promptPath: GUEST_PROMPT,
    promptText: manifest.agent.prompt,
    placeholder: credential && slots.slotOf(credential.ref).placeholder,
    authKind: credential?.login === undefined ? authKind : "bearer",
    hostLogin: credential?.login,
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
    if (command.length === 0 || command[0] === "") {
      throw new UsageError("usage.invalid", 'nothing follows "--"; a program is expected', {
        hint: "write the program and its arguments there, for example -- npm test",
      });
    }
    if (prompt !== undefined) {
      throw new UsageError("usage.invalid", '--prompt and "--" exclude each other', {
        hint: 'leave one out: the prompt is for the agent, and the program after "--" replaces it',
      });
    }
    return { mode, argv: command };
  }
  if (mode === "attached") return { mode, argv: described.interactiveArgv };
  if (prompt !== undefined) {
    const argv = described.headlessArgv(prompt);
    if (argv !== undefined) return { mode, argv };
    throw new UsageError(
      "usage.invalid",
      `--prompt is not for ${manifest.agent.name}: provider ${provider.name} runs its argv as it is`,
      {
        hint: "write settings.prompt_argument: true below agent_provider to give the prompt as the last argument",
      },
    );
  }
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

interface BundleInput {
  readonly manifest: Manifest;
  readonly facts: Facts;
  readonly id: BottleId;
  readonly paths: BottlePaths;
  readonly routes: ResolvedRoutes;
  readonly secrets: readonly SecretPlan[];
  readonly attachment: AttachmentKind;
  readonly network: NetworkPlan | undefined;
}

function resolveBundle({
  manifest,
  facts,
  id,
  paths,
  routes,
  secrets,
  attachment,
  network,
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
    renewableSlots: loginSlots(secrets).map(({ slot }) => slot),
    caCertificate: "",
  };
  return planBundle({
    id,
    paths,
    egress: config,
    nodePath: facts.nodePath,
    entryPath: facts.bundlePath,
    cacheDir: facts.home.cache,
    attachment,
    network,
  });
}
