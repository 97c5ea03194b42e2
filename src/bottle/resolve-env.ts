/** The guest's environment: literals only; values that the operator gives on purpose are named as secrets. Pure. */
import type { DoorPlan } from "../backends/contract.ts";
import type { BottleId } from "../base/ids.ts";
import type { EnvEntry, Manifest } from "../manifest/types.ts";
import type { ProviderPlan } from "../providers/provider.ts";
import { caEnv } from "../provision/ca.ts";
import { proxyEnv } from "../provision/proxy-env.ts";
import type { Facts, SecretPlan } from "./plan.ts";
import type { ResolvedRoutes } from "./resolve-routes.ts";

/** Programs of the operator's machine come first, ours last, so that a project's own Node wins. */
export const GUEST_PATH =
  "/home/node/.local/bin:/opt/agents:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/opt/bot-bottle/bin";

interface EnvInput {
  readonly manifest: Manifest;
  readonly facts: Facts;
  readonly id: BottleId;
  readonly doors: readonly DoorPlan[];
  readonly routes: ResolvedRoutes;
  readonly provider: ProviderPlan;
}

/** Later parts win: the operator's terminal, ours, the provider's, placeholders, the manifest's literals. */
export function agentEnvironment({
  manifest,
  facts,
  id,
  doors,
  routes,
  provider,
}: EnvInput): Readonly<Record<string, string>> {
  const literals = Object.entries(manifest.bottle.env).flatMap(
    ([name, entry]): [string, string][] => (entry.kind === "literal" ? [[name, entry.value]] : []),
  );
  return {
    LANG: "C.UTF-8",
    ...facts.terminalEnv,
    HOME: "/home/node",
    USER: "node",
    LOGNAME: "node",
    SHELL: "/bin/bash",
    PATH: GUEST_PATH,
    BOT_BOTTLE_SLUG: id,
    ...proxyEnv(doors),
    ...caEnv(),
    ...provider.env,
    ...routes.placeholderEnv,
    ...Object.fromEntries(literals),
  };
}

/** Values that are asked for or copied from the operator's environment; they are given to the guest and searched for. */
export function environmentSecrets(env: Readonly<Record<string, EnvEntry>>): readonly SecretPlan[] {
  return Object.entries(env).flatMap(([name, entry]): SecretPlan[] => {
    switch (entry.kind) {
      case "literal":
        return [];
      case "prompt":
        return [
          {
            slot: `ENV_${name}`,
            source: { kind: "prompt", name, message: entry.message },
            guestVariable: name,
          },
        ];
      case "host":
        return [
          {
            slot: `ENV_${name}`,
            source: { kind: "env", name: entry.variable },
            guestVariable: name,
          },
        ];
    }
  });
}
