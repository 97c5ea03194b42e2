/** `list`: the agents that can be started, or the bottles that exist. */
import { messageOf } from "../../base/errors.ts";
import { parseBottleId } from "../../base/ids.ts";
import { bottlePaths } from "../../base/paths.ts";
import {
  type ListedBottle,
  listBottles,
  listManifest,
  loadManifest,
  type ManifestEntry,
} from "../../index.ts";
import { cleanLine } from "../clean-text.ts";
import { renderColumns } from "../columns.ts";
import type { Command, CommandIo, ParsedArgs } from "../command.ts";
import type { CliEnv } from "../env.ts";
import { isSet } from "../flags/read.ts";
import { readLastWarning } from "../warnings.ts";

/** The command `list`. */
export const listCommand: Command = {
  name: "list",
  summary: "list agents, or active bottles",
  description:
    "Without argument: agents, where each comes from, and its bottle; a broken file is marked with what is wrong. active: bottles that run or whose owner died. kept: ended bottles whose work is kept.",
  isInterruptible: true,
  args: [
    {
      name: "what",
      summary: "bottles instead of agents",
      isOptional: true,
      choices: ["active", "kept"],
    },
  ],
  flags: [{ name: "json", summary: "print {agents, bottles} as JSON, whatever is listed" }],
  examples: [
    { command: "bot-bottle list", explanation: "what can be started here" },
    { command: "bot-bottle list active", explanation: "backend, name, agent, services, status" },
    { command: "bot-bottle list --json | jq -r '.bottles[].slug'", explanation: "for scripts" },
  ],
  run: runList,
};

async function runList({ args, flags }: ParsedArgs, io: CommandIo): Promise<number> {
  const [what] = args;
  const isJson = isSet(flags, "json");
  const bottles = (await listBottles(io.env.home)).filter((bottle) => isWanted(bottle, what));
  if (isJson || what === undefined) {
    const { agents, warnings } = await describeAgents(io.env);
    if (isJson)
      io.output.json({
        agents,
        bottles: bottles.map((it) => describeListed(it, io.env)),
        warnings,
      });
    else printAgents(agents, warnings, io);
  } else printBottles(bottles, what, io);
  return 0;
}

function isWanted({ status }: ListedBottle, what: string | undefined): boolean {
  return what === undefined || (status === "kept") === (what === "kept");
}

/** One agent as `list --json` shows it. */
interface ListedAgent {
  readonly name: string;
  readonly origin: "home" | "repository";
  readonly file: string;
  readonly bottles: readonly string[];
  readonly provider: string | undefined;
  /** Why it cannot be started; undefined when its files are sound. */
  readonly problem: string | undefined;
}

async function describeAgents(
  env: CliEnv,
): Promise<{ readonly agents: readonly ListedAgent[]; readonly warnings: readonly string[] }> {
  const { agents, warnings } = await listManifest(env.home, env.cwd, env.userHome);
  const described: ListedAgent[] = [];
  for (const entry of agents) described.push(await describeAgent(entry, env));
  return { agents: described, warnings };
}

async function describeAgent(
  { name, origin, file }: ManifestEntry,
  env: CliEnv,
): Promise<ListedAgent> {
  try {
    const { bottle } = await loadManifest({ ...env, agentName: name, bottleNames: [] });
    return {
      name,
      origin,
      file,
      bottles: bottle.names,
      provider: bottle.provider.template,
      problem: undefined,
    };
  } catch (error) {
    return { name, origin, file, bottles: [], provider: undefined, problem: messageOf(error) };
  }
}

function describeListed(bottle: ListedBottle, env: CliEnv): Record<string, unknown> {
  return { ...describeBottle(bottle), warning: warningOf(bottle, env) ?? null };
}

/** What a bottle needs the operator for; an ended one needs nothing any more. */
function warningOf({ slug, status }: ListedBottle, { home }: CliEnv): string | undefined {
  if (status !== "running") return undefined;
  return readLastWarning(bottlePaths(home, parseBottleId(slug), home.run).logs);
}

/** A bottle under the names of its record. */
export function describeBottle(bottle: ListedBottle): Record<string, unknown> {
  return {
    slug: bottle.slug,
    agent_name: bottle.agentName,
    backend: bottle.backend,
    status: bottle.status,
    services: bottle.services,
    label: bottle.label,
    color: bottle.color,
    bottle_names: bottle.bottleNames,
    started_at: bottle.startedAt,
    cwd: bottle.cwd,
    exit_code: bottle.exitCode ?? null,
    kept: bottle.kept ?? null,
  };
}

function printAgents(
  agents: readonly ListedAgent[],
  warnings: readonly string[],
  { output }: CommandIo,
): void {
  const { color } = output;
  const rows = agents.map(({ name, origin, bottles, problem }) => [
    name,
    origin,
    problem === undefined ? bottles.join(" + ") : `broken: ${cleanLine(firstLine(problem))}`,
  ]);
  for (const [index, line] of renderColumns(rows).entries()) {
    output.print(agents[index]?.problem === undefined ? line : color.red(line));
  }
  if (agents.length === 0)
    output.note("no agents yet; write a first one: bot-bottle init claude --yes");
  for (const warning of warnings) output.note(color.yellow(`note: ${cleanLine(warning)}`));
}

function firstLine(text: string): string {
  const [first = "", second] = text.split("\n");
  return second === undefined ? first : `${first} ${second.trim()}`;
}

function printBottles(
  bottles: readonly ListedBottle[],
  what: string,
  { env, output }: CommandIo,
): void {
  const rows = bottles.map((bottle) => [
    bottle.backend,
    bottle.slug,
    bottle.label === "" ? bottle.agentName : bottle.label,
    bottle.services.join(","),
    bottle.status === "dead" ? "dead (run bot-bottle cleanup)" : (bottle.kept ?? bottle.status),
  ]);
  for (const line of renderColumns(rows.map((row) => row.map(cleanLine)))) output.print(line);
  for (const bottle of bottles) {
    const warning = warningOf(bottle, env);
    if (warning !== undefined)
      output.error(output.color.yellow(cleanLine(`${bottle.slug}: ${warning}`)));
  }
  if (bottles.length > 0) return;
  output.note(what === "kept" ? "no work is kept" : "nothing is running");
}
