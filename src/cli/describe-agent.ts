/** An agent as `info` shows it. Names of variables and credentials only, never a value. */
import { BottleError } from "../base/errors.ts";
import {
  explainRoute,
  loadManifest,
  type Manifest,
  planStart,
  readConfirmations,
  type StartOptions,
} from "../index.ts";
import { cleanLine, cleanText } from "./clean-text.ts";
import type { CliEnv } from "./env.ts";
import type { Palette } from "./output.ts";

/** Lines of the system prompt that are shown. */
const PROMPT_LINES = 6;

/** A value and which file said it. */
interface Sourced {
  readonly value: string;
  readonly from: "agent" | "bottle";
}

/** `info <agent> --json`. */
export interface AgentInfo {
  readonly kind: "agent";
  readonly name: string;
  readonly origin: "home" | "repository";
  readonly file: string;
  /** A repository's agent may use its bottle only once confirmed. */
  readonly is_confirmed: boolean;
  readonly bottle_names: readonly string[];
  readonly provider: string;
  readonly backend: string | null;
  readonly env: readonly { readonly name: string; readonly from: string }[];
  readonly skills: readonly string[];
  readonly prompt_head: string;
  readonly prompt_lines: number;
  readonly git_user: { readonly name: Sourced | null; readonly email: Sourced | null };
  readonly git_remotes: readonly { readonly name: string; readonly url: string }[];
  readonly routes: readonly {
    readonly host: string;
    readonly port: number | null;
    readonly rule: string;
    readonly text: string;
  }[];
  readonly limits: Readonly<Record<string, number | null>>;
  readonly warnings: readonly string[];
  /** Why a start would be refused; null when nothing is known against it. */
  readonly problem: string | null;
}

/** Describes an agent. Throws ManifestError when its files are broken. */
export async function describeAgent(
  name: string,
  bottleNames: readonly string[],
  env: CliEnv,
): Promise<AgentInfo> {
  const manifest = await loadManifest({ ...env, agentName: name, bottleNames });
  const { agent, bottle, warnings } = manifest;
  // Named here as if by the operator: to look at what a repository's agent would get needs no trust.
  const bottles =
    bottleNames.length > 0 || agent.bottle === undefined ? bottleNames : [agent.bottle];
  const { routes, problem } = await planRoutes(name, bottles, env);
  const promptLines = agent.prompt === "" ? [] : agent.prompt.split("\n");
  return {
    kind: "agent",
    name: agent.name,
    origin: agent.origin,
    file: agent.file,
    is_confirmed: await isConfirmed(manifest, env),
    bottle_names: bottle.names,
    provider: bottle.provider.template,
    backend: bottle.backend ?? null,
    env: Object.entries(bottle.env).map(([variable, entry]) => ({
      name: variable,
      from: originOf(entry),
    })),
    skills: agent.skills,
    prompt_head: promptLines.slice(0, PROMPT_LINES).join("\n"),
    prompt_lines: promptLines.length,
    git_user: {
      name: sourced(agent.gitUser.name, bottle.gitUser.name),
      email: sourced(agent.gitUser.email, bottle.gitUser.email),
    },
    git_remotes: bottle.gitRepos.map((repo) => ({ name: repo.name, url: repo.url })),
    routes,
    limits: {
      memory_bytes: bottle.limits.memoryBytes ?? null,
      processes: bottle.limits.processes ?? null,
      cpus: bottle.limits.cpus ?? null,
    },
    warnings,
    problem,
  };
}

function originOf(entry: Manifest["bottle"]["env"][string]): string {
  if (entry.kind === "host") return `host variable ${entry.variable}`;
  return entry.kind === "prompt" ? "asked at start" : "bottle file";
}

function sourced(agent: string | undefined, bottle: string | undefined): Sourced | null {
  if (agent !== undefined) return { value: agent, from: "agent" };
  return bottle === undefined ? null : { value: bottle, from: "bottle" };
}

async function isConfirmed({ agent }: Manifest, env: CliEnv): Promise<boolean> {
  if (agent.origin === "home") return true;
  return (await readConfirmations(env.home)).some((it) => it.digest === agent.digest);
}

/** A start of a program that every guest has: what the bottle reaches does not depend on what is installed here. */
export const PROBE_OPTIONS: StartOptions = {
  backend: undefined,
  copyCwd: false,
  label: undefined,
  color: undefined,
  mode: "headless",
  prompt: undefined,
  command: ["true"],
  allow: [],
  keep: false,
};

async function planRoutes(
  agent: string,
  bottles: readonly string[],
  env: CliEnv,
): Promise<Pick<AgentInfo, "routes" | "problem">> {
  try {
    const { plan } = await planStart({
      home: env.home,
      userHome: env.userHome,
      cwd: env.cwd,
      env: env.all,
      agent,
      bottles,
      options: PROBE_OPTIONS,
      hasTerminal: false,
    });
    const routes = plan.policy.routes.map((route) => ({
      host: route.host,
      port: route.port ?? null,
      rule: route.rule,
      text: explainRoute(route),
    }));
    return { routes, problem: null };
  } catch (error) {
    if (!(error instanceof BottleError)) throw error;
    return { routes: [], problem: error.message };
  }
}

/** The same for people. */
export function renderAgent(info: AgentInfo, color: Palette): string {
  const row = (name: string, text: string): string =>
    `  ${color.dim(name.padEnd(13))}${cleanLine(text)}`;
  const list = (name: string, texts: readonly string[], none: string): string[] =>
    texts.length === 0
      ? [row(name, none)]
      : texts.map((text, index) => row(index === 0 ? name : "", text));
  const unconfirmed = info.is_confirmed
    ? ""
    : color.yellow(" (asked for by the repository, not confirmed)");
  const identity = [renderSourced(info.git_user.name), renderSourced(info.git_user.email)].filter(
    (it) => it !== "",
  );
  return [
    `${color.bold(info.name)}: ${info.provider} in ${info.bottle_names.join(" + ")}${unconfirmed}`,
    row("file", `${info.file} (${info.origin})`),
    row("backend", info.backend ?? "the machine's best"),
    ...list(
      "env",
      info.env.map(({ name, from }) => `${name} (${from})`),
      "none",
    ),
    row("skills", info.skills.length === 0 ? "none" : info.skills.join(", ")),
    row("git user", identity.length === 0 ? "none" : identity.join(" ")),
    ...list(
      "git remotes",
      info.git_remotes.map(({ name, url }) => `${name}: ${url}`),
      "none",
    ),
    ...list(
      "reaches",
      info.routes.map((route) => route.text),
      info.problem === null ? "no host" : "unknown",
    ),
    ...promptRows(info, row, color),
    ...info.warnings.map((warning) => row("note", warning)),
    ...(info.problem === null ? [] : [color.red(row("problem", info.problem))]),
  ].join("\n");
}

function renderSourced(sourced: Sourced | null): string {
  return sourced === null ? "" : `${sourced.value} (${sourced.from})`;
}

function promptRows(
  info: AgentInfo,
  row: (name: string, text: string) => string,
  color: Palette,
): string[] {
  if (info.prompt_lines === 0) return [row("prompt", "none")];
  const shown = cleanText(info.prompt_head).split("\n");
  const more = info.prompt_lines - shown.length;
  return [
    ...shown.map((line, index) => row(index === 0 ? "prompt" : "", line)),
    ...(more > 0 ? [color.dim(row("", `… ${more} more lines`))] : []),
  ];
}
