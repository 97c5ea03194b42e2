/** What `init` writes: a first bottle and a first agent for each provider that is a coding agent. Pure text. */
import type { Provider } from "./provider.ts";
import { providerNamed } from "./registry.ts";

/** Texts of a first bottle file and agent file, and the names they are saved under (without `.md`). */
export interface Preset {
  readonly bottleName: string;
  readonly bottle: string;
  readonly agentName: string;
  readonly agent: string;
}

/** Providers that `init` offers. */
export const PRESET_NAMES: readonly string[] = ["claude", "codex"];

/** What the operator may choose of a preset; names and variables must be valid ones. */
export interface PresetOptions {
  /** Name of both files; default the provider's. */
  readonly name?: string | undefined;
  /** Host variable of the credential; default the provider's own. */
  readonly tokenVariable?: string | undefined;
}

/** The preset of a provider, or undefined when there is none of this name. */
export function presetNamed(provider: string, options: PresetOptions = {}): Preset | undefined {
  const found = PRESET_NAMES.includes(provider) ? providerNamed(provider) : undefined;
  const variable = options.tokenVariable ?? found?.defaultTokenVariable;
  if (found === undefined || variable === undefined) return undefined;
  const name = options.name ?? provider;
  return {
    bottleName: name,
    bottle: bottleText(found, variable),
    agentName: name,
    agent: agentText(name),
  };
}

/** The preset of a program of the operator's choice; JSON's strings are YAML's. */
export function commandPreset(argv: readonly string[], options: PresetOptions = {}): Preset {
  const name = options.name ?? "command";
  return {
    bottleName: name,
    bottle: `---
agent_provider:
  template: command
  settings:
    argv: ${JSON.stringify(argv)}
egress:
  # Hosts that the program may reach. None: everything is denied.
  routes: []
---
Runs one program without network access. Add hosts under \`egress.routes\`.
`,
    agentName: name,
    agent: `---\nbottle: ${name}\n---\n`,
  };
}

/** Claude Code sends an API key in another header than a login's token. */
function authKindLine(provider: Provider, variable: string): string {
  const isApiKey = provider.name === "claude" && variable === "ANTHROPIC_API_KEY";
  return isApiKey ? "  auth_kind: api-key\n" : "";
}

function bottleText(provider: Provider, variable: string): string {
  return `---
agent_provider:
  template: ${provider.name}
  # Host variable that holds the credential. The bottle sees a placeholder, never the value.
  auth_token: ${variable}
${authKindLine(provider, variable)}egress:
  # Hosts beside the model's own. None: everything else is denied.
  routes: []
limits: { memory: 4GiB, processes: 1024 }
---
${provider.title} with access to its model and nothing else. Add hosts under \`egress.routes\`, for example:

    - host: registry.npmjs.org
`;
}

function agentText(bottle: string): string {
  return `---
bottle: ${bottle}
skills: []
---
You work in a disposable sandbox without direct network access. A request that is refused with "egress:" was refused
by policy: say which host you need and why, instead of working around it.
`;
}
