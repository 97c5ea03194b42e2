/**
 * The plan of one bottle: everything that a launch will do, decided, serialisable, printable. Secret *names* only. Values
 * that exist only after an effect (CA fingerprint, ports) go into the launch's own values, never back into the plan.
 */

import type {
  AttachmentKind,
  BackendName,
  BackendSurvey,
  GuestPlan,
  MountPlan,
} from "../backends/contract.ts";
import type { LaunchError } from "../base/errors.ts";
import type { BottleId, GuestPath, HostPath } from "../base/ids.ts";
import type { BottlePaths, HomePaths } from "../base/paths.ts";
import type { BundlePlan } from "../bundle/contract.ts";
import type { HostVariable, Provenance, TokenRef } from "../manifest/types.ts";
import type { EgressPolicy } from "../policy/egress.ts";
import type { HostLogin } from "../providers/host-login.ts";
import type { ProvisionedFile } from "../providers/provider.ts";

export const PLAN_VERSION = 1;

/** The login that an agent keeps on the operator's machine. */
export interface HostLoginRef {
  readonly kind: "host-login";
  readonly name: string;
  readonly provider: string;
  readonly path: HostPath;
}

/** Where a credential of the bottle is read. */
export type CredentialRef = TokenRef | HostLoginRef;

/** A secret that the launch needs: where its value comes from and where it goes. */
export interface SecretPlan {
  /** Key in the launch's secrets: `EGRESS_TOKEN_0`, `ENV_NPM_TOKEN`, `CANARY`. */
  readonly slot: string;
  readonly source:
    | CredentialRef
    | { readonly kind: "prompt"; readonly name: string; readonly message: string }
    /** Made at random by the launch. */
    | { readonly kind: "generated"; readonly name: string };
  /** Guest variable that holds the value itself; undefined for credentials, which the guest never has. */
  readonly guestVariable: string | undefined;
  /** Where the manifest names it, when it is a variable of the host. */
  readonly namedAt?: readonly HostVariable[];
}

export interface WorkspacePlan {
  readonly hostSource: HostPath;
  readonly hostCopy: HostPath;
  readonly guestPath: GuestPath;
}

export interface SkillPlan {
  readonly name: string;
  readonly hostPath: HostPath;
  readonly guestPath: GuestPath;
}

/** The agent session that the launch will start. */
export interface AgentPlan {
  readonly mode: "attached" | "headless";
  readonly argv: readonly string[];
  readonly cwd: GuestPath;
  /** Guest variables with literal values: proxy, CA, placeholders, `env:` literals, provider's. */
  readonly env: Readonly<Record<string, string>>;
  readonly hiddenEnvNames: readonly string[];
}

export interface BottlePlan {
  readonly version: typeof PLAN_VERSION;
  readonly id: BottleId;
  readonly agentName: string;
  readonly bottleNames: readonly string[];
  readonly provider: string;
  readonly label: string | undefined;
  readonly color: string | undefined;
  readonly backend: BackendName;
  readonly attachment: AttachmentKind;
  readonly home: HomePaths;
  readonly paths: BottlePaths;
  readonly guest: GuestPlan;
  readonly bundle: BundlePlan;
  readonly policy: EgressPolicy;
  readonly secrets: readonly SecretPlan[];
  readonly workspace: WorkspacePlan | undefined;
  /** Files of the guest's home, prompt included. */
  readonly files: readonly ProvisionedFile[];
  readonly skills: readonly SkillPlan[];
  /** Files of the guest's /etc, relative paths; CA files are added by the launch. */
  readonly etc: Readonly<Record<string, string>>;
  /** PEM files read at launch and trusted for upstreams. */
  readonly upstreamCaFiles: readonly HostPath[];
  /** Where they are named. */
  readonly upstreamCaFrom: Provenance | undefined;
  readonly agent: AgentPlan;
  readonly keep: boolean;
  /** Where the operator stands: cwd of the command, recorded. */
  readonly userCwd: HostPath;
  /** Shown in the preflight and by --dry-run. */
  readonly notes: readonly string[];
  /** Things that the operator should hear of even when nobody looks at a preflight. */
  readonly warnings: readonly string[];
}

/** What the operator asked for on this call. */
export interface StartOptions {
  readonly backend: BackendName | undefined;
  readonly copyCwd: boolean;
  readonly label: string | undefined;
  readonly color: string | undefined;
  readonly mode: "attached" | "headless";
  readonly prompt: string | undefined;
  /** argv that replaces the agent's program. */
  readonly command: readonly string[] | undefined;
  /** `host[:port]` granted for this launch only. */
  readonly allow: readonly string[];
  readonly keep: boolean;
}

/** What was read of the machine before planning. Everything that varies is a fact, so that planning is pure. */
export interface Facts {
  readonly home: HomePaths;
  readonly userHome: HostPath;
  readonly userCwd: HostPath;
  readonly isRoot: boolean;
  /** Unused host uid for the guest; undefined unless root. */
  readonly freeUid: number | undefined;
  readonly takenNames: readonly string[];
  /** Five random base-36 characters for the slug, eight hex for the run directory, and names for the canary. */
  readonly random: {
    readonly suffix: string;
    readonly runName: string;
    readonly nonce: string;
    readonly canaryName: string;
  };
  readonly nodePath: HostPath;
  readonly guestInitPath: HostPath;
  readonly bundlePath: HostPath;
  /** The best backend that works here, when the operator did not choose. */
  readonly defaultBackend: BackendName | undefined;
  /** What the chosen backend found out about the machine; undefined where it has nothing to find out. */
  readonly survey: BackendSurvey | undefined;
  /** BOT_BOTTLE_IMAGE: beats the provider's image and the bottle's Dockerfile. */
  readonly image: string | undefined;
  /** The agent's program on the host, where the provider has one: what must be bound so that the guest can run it. */
  readonly program: { readonly mounts: readonly MountPlan[] } | undefined;
  /** Private directory for run directories whose path under home would be too long for a socket. */
  readonly runtimeBase: HostPath;
  /** The agent's own login on this machine, where the bottle asks for it: what is known of it, or why it cannot be used. */
  readonly hostLogin?:
    | { readonly ref: HostLoginRef; readonly login: HostLogin }
    | { readonly ref: HostLoginRef; readonly fault: LaunchError }
    | undefined;
  /** Pass-through variables of the operator: TERM, COLORTERM, LANG, LC_*, TZ, NO_COLOR. */
  readonly terminalEnv: Readonly<Record<string, string>>;
  /** True when the operator's descriptors 0-2 include a terminal. */
  readonly hasTerminal: boolean;
  /** Skills that exist on the host, by name. */
  readonly skills: Readonly<Record<string, HostPath>>;
}
