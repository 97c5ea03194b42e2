/** Plans the guest: its directories, mounts, limits and doors. Pure. */
import type {
  AttachmentKind,
  BackendName,
  DoorPlan,
  ImagePlan,
  MountPlan,
  NetworkPlan,
} from "../backends/contract.ts";
import { HostError } from "../base/errors.ts";
import { type BottleId, parseGuestPath } from "../base/ids.ts";
import type { BottlePaths } from "../base/paths.ts";
import type { Manifest } from "../manifest/types.ts";
import type { Provider } from "../providers/provider.ts";
import { GUEST_DOORS, GUEST_HOME, GUEST_WORKSPACE } from "./guest-paths.ts";
import type { BottlePlan, Facts, StartOptions } from "./plan.ts";

/** Size of each tmpfs of the guest. */
export const DEFAULT_TMPFS_BYTES: number = 1024 ** 3;
/** Processes and threads in the guest when the bottle says nothing: far above any build, far below a fork bomb. */
export const DEFAULT_PROCESSES = 4096;

const RUNS_IMAGES: ReadonlySet<BackendName> = new Set(["docker", "smolmachines"]);

/** What the guest is planned from. */
export interface GuestInput {
  readonly facts: Facts;
  readonly options: StartOptions;
  readonly id: BottleId;
  readonly paths: BottlePaths;
  readonly doors: readonly DoorPlan[];
  readonly provider: Provider;
  readonly backend: BackendName;
  readonly attachment: AttachmentKind;
  readonly network: NetworkPlan | undefined;
}

/** Plans the guest. Throws HostError `host.agent-missing` when the agent's program is not installed. */
export function resolveGuest(manifest: Manifest, input: GuestInput): BottlePlan["guest"] {
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
    attachment: input.attachment,
    image: resolveImage(manifest, input),
    runtime: manifest.bottle.runtime,
    network: input.network,
    cacheDir: facts.home.cache,
    // A headless agent has no business with the operator's terminal.
    terminal: facts.hasTerminal && options.mode === "attached" ? "shared" : "separate",
  };
}

/** BOT_BOTTLE_IMAGE, else the bottle's Dockerfile, else the provider's own image. */
function resolveImage(manifest: Manifest, input: GuestInput): ImagePlan | undefined {
  if (!RUNS_IMAGES.has(input.backend)) return undefined;
  const { dockerfile } = manifest.bottle.provider;
  const template = input.provider.name;
  if (input.facts.image !== undefined) return { kind: "reference", reference: input.facts.image };
  if (dockerfile !== undefined)
    return { kind: "dockerfile", dockerfile, tag: `bot-bottle-${template}:${input.id}` };
  return { kind: "provider", template, tag: `bot-bottle-${template}:latest` };
}

/** The agent's program, bound alone where the guest would not see it otherwise; an image brings its own. */
function programMounts(input: GuestInput): readonly MountPlan[] {
  const { facts, options, provider, backend } = input;
  if (RUNS_IMAGES.has(backend)) return [];
  if (provider.program === undefined) return [];
  if (facts.program === undefined) {
    // Another program runs in its place.
    if (options.command !== undefined) return [];
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
