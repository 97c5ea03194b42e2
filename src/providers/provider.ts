/**
 * A provider describes a coding agent: how it is called, which files and variables it needs, which host its credential is
 * for. Descriptions are pure data and pure functions; nothing here touches the machine.
 */
import type { GuestPath } from "../base/ids.ts";
import type { CredentialCarrier } from "../policy/egress.ts";
import type { HostLogin, HostLoginSource } from "./host-login.ts";

/** What resolvePlan tells a provider. */
export interface ProviderInput {
  readonly guestHome: GuestPath;
  /** Directory the agent works in; trust is set for it. */
  readonly workdir: GuestPath;
  readonly hasPrompt: boolean;
  readonly promptPath: GuestPath;
  /** The system prompt's text, for agents that take it in a file of their own; "" when there is none. */
  readonly promptText: string;
  /** Placeholder of the provider's own credential; undefined when the bottle gives it none. */
  readonly placeholder: string | undefined;
  readonly authKind: "bearer" | "api-key";
  /** What is known of the operator's own login, where the placeholder stands for that. */
  readonly hostLogin?: HostLogin | undefined;
  readonly settings: Readonly<Record<string, unknown>>;
  readonly label: string | undefined;
  readonly caBundlePath: GuestPath;
  /** MCP servers of the bundle, name to URL in the guest; absent or empty when no such door is open. */
  readonly mcpServers?: Readonly<Record<string, string>>;
}

/** A file that is written into the guest's home before the agent starts. */
export interface ProvisionedFile {
  readonly path: GuestPath;
  readonly mode: number;
  readonly content: string;
}

/** The route that a provider's credential belongs to. */
export interface ProviderRoute {
  readonly host: string;
  /** Undefined: the host is reachable without a credential. Our providers name no host unless they have one. */
  readonly carrier: CredentialCarrier | undefined;
}

export interface ProviderPlan {
  /** Guest variables; placeholders included, never a real value. */
  readonly env: Readonly<Record<string, string>>;
  /** Names in `env` that the preflight does not list. */
  readonly hiddenEnvNames: readonly string[];
  readonly files: readonly ProvisionedFile[];
  readonly routes: readonly ProviderRoute[];
  /** argv for an interactive session; argv[0] is the program's name or guest path. */
  readonly interactiveArgv: readonly string[];
  /** argv for a headless run of `prompt`; undefined when the provider has its own argv and takes no prompt. */
  headlessArgv(prompt: string): readonly string[] | undefined;
  /** argv that goes on with the newest session of the workdir, for `attach` and `resume`. */
  readonly resumeArgv: readonly string[];
}

/**
 * How the agent's program is found on the host where a backend shows host files: looked up on PATH, links resolved, then
 * the first of `natives` (relative to the resolved file's directory) that exists is used instead, because launchers of npm
 * packages are scripts around one native file. A native may say `{arch}` (x64, arm64) and `{machine}` (x86_64, aarch64).
 * The native and its companions are bound side by side into one directory of the guest.
 */
export interface ProgramLocator {
  readonly name: string;
  /** Variable that names the program's file and wins. */
  readonly variable: string;
  readonly natives: readonly string[];
  /** Programs that the native looks for beside itself, relative to its directory; those that exist come along. */
  readonly companions: readonly string[];
  /** npm package to install, for the hint. */
  readonly npmPackage: string;
}

export interface Provider {
  readonly name: string;
  readonly title: string;
  /** Undefined: argv comes from the settings (the `command` provider). */
  readonly program: ProgramLocator | undefined;
  /** Host directory of skills relative to the operator's home, and the guest's. */
  readonly skillsDir: { readonly host: string; readonly guest: string } | undefined;
  /** Default guest variable that names the credential, for `init`. */
  readonly defaultTokenVariable: string | undefined;
  /** The agent's own login on the operator's machine; undefined where it keeps none that can be used. */
  readonly hostLogin?: HostLoginSource;
  /** Headless starts need no `--prompt`. */
  readonly runsWithoutPrompt: boolean;
  /** Throws ManifestError when the settings do not fit. */
  describe(input: ProviderInput): ProviderPlan;
}
