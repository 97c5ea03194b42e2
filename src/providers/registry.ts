/** The table of providers; the only place that lists them. */
import { claude } from "./claude.ts";
import { codex } from "./codex.ts";
import { command } from "./command.ts";
import type { Provider } from "./provider.ts";

const PROVIDERS: readonly Provider[] = [claude, codex, command];

/** Names that `agent_provider.template` may have. */
export const PROVIDER_NAMES: readonly string[] = PROVIDERS.map((it) => it.name);

/** The provider of this name, or undefined. */
export function providerNamed(name: string): Provider | undefined {
  return PROVIDERS.find((it) => it.name === name);
}
