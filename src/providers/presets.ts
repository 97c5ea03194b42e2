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

/** The preset of a provider, or undefined when there is none of this name. */
export function presetNamed(name: string): Preset | undefined {
  const provider = PRESET_NAMES.includes(name) ? providerNamed(name) : undefined;
  const variable = provider?.defaultTokenVariable;
  if (provider === undefined || variable === undefined) return undefined;
  return {
    bottleName: name,
    bottle: bottleText(provider, variable),
    agentName: name,
    agent: agentText(name),
  };
}

function bottleText(provider: Provider, variable: string): string {
  return `---
agent_provider:
  template: ${provider.name}
  # Host variable that holds the credential. The bottle sees a placeholder, never the value.
  auth_token: ${variable}
egress:
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
