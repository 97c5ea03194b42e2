/** Loads one agent and its bottle: only the files that are needed are read, and everything wrong in them is reported at once. */
import { type Issue, ManifestError } from "../base/errors.ts";
import type { HostPath } from "../base/ids.ts";
import type { HomePaths } from "../base/paths.ts";
import { isWildcard } from "../policy/host-pattern.ts";
import { checkEffective, resolveEffective } from "./effective.ts";
import { type BottleFiles, resolveBottles } from "./extends.ts";
import { invalid, quote } from "./issues.ts";
import type { BottleLayer } from "./layer.ts";
import { listManifest, type ManifestEntry, type ManifestIndex } from "./list-manifest.ts";
import { nearest } from "./nearest.ts";
import { type ParsedAgent, parseAgent } from "./parse-agent.ts";
import { type ParsedBottle, parseBottle } from "./parse-bottle.ts";
import { readManifestFile } from "./read.ts";
import { decodeText } from "./source.ts";
import type { Manifest } from "./types.ts";

/** Most bottle files that one launch may read. */
export const MAX_BOTTLE_FILES = 64;

/** What to load. */
export interface LoadOptions {
  readonly home: HomePaths;
  readonly cwd: string;
  readonly userHome: HostPath;
  readonly agentName: string;
  /** Bottles named by the operator, in order; empty means the agent's own. */
  readonly bottleNames: readonly string[];
}

/**
 * Loads an agent and its effective bottle. Throws {@link ManifestError}. Whether a repository's agent may use the bottle it
 * names is for `decideTrust`.
 */
export async function loadManifest(options: LoadOptions): Promise<Manifest> {
  const { home, cwd, userHome, agentName } = options;
  const index = await listManifest(home, cwd, userHome);
  const agentEntry = find(index.agents, agentName, {
    code: "manifest.unknown-agent",
    what: "agent",
    index,
  });
  const agent = await readAgent(agentEntry, index);
  const names = selectBottles(agent, options, index);
  const files = await readBottles(names, index, userHome);
  const resolved = resolveBottles(names, files);
  const whole = resolved.layer === undefined ? [] : checkEffective(resolved.layer, home);
  const suffixes = resolved.layer === undefined ? [] : await wildcardIssues(resolved.layer);
  const issues = [...agent.issues, ...resolved.issues, ...whole, ...suffixes];
  if (issues.length > 0) throw invalid(issues);
  if (agent.agent === undefined || resolved.layer === undefined) throw noBottle(agentName, index);
  const warnings = [...new Set([...index.warnings, ...resolved.layer.warnings])];
  return { agent: agent.agent, bottle: resolveEffective(resolved.layer), warnings };
}

/** The list is long, so it is loaded only where a wildcard is judged by it. */
async function wildcardIssues({ routes }: BottleLayer): Promise<readonly Issue[]> {
  const wild = [...(routes?.values() ?? [])]
    .map((route) => route.value)
    .filter(({ host }) => isWildcard(host));
  if (wild.length === 0) return [];
  const { suffixIssues } = await import("./public-suffix.ts");
  return suffixIssues(wild);
}

interface Wanted {
  readonly code: "manifest.unknown-agent" | "manifest.unknown-bottle";
  readonly what: "agent" | "bottle";
  readonly index: ManifestIndex;
}

/** The file of a name. Two files of one name are refused, because which one counts would depend on the file system. */
function find(entries: readonly ManifestEntry[], name: string, wanted: Wanted): ManifestEntry {
  const entry = entries.find((it) => it.name === name);
  if (entry === undefined) throw unknown(name, entries, wanted);
  if (entry.rivals.length === 0) return entry;
  const files = [entry.file, ...entry.rivals];
  const message = `${wanted.what} "${name}" is defined twice: ${files.join(" and ")}; one file is expected`;
  throw new ManifestError("manifest.duplicate", message, { hint: "remove or rename one of them" });
}

function unknown(name: string, entries: readonly ManifestEntry[], wanted: Wanted): ManifestError {
  const { code, what, index } = wanted;
  const names = entries.map((it) => it.name);
  const near = nearest(name, names);
  const advice =
    near === undefined
      ? `${names.length === 0 ? "there are none" : `there are ${names.join(", ")}`}`
      : `did you mean ${near}`;
  const hint = names.length === 0 ? "run bot-bottle init claude" : "run bot-bottle list";
  const about = index.warnings.filter((it) => it.toLowerCase().includes(name.toLowerCase()));
  return new ManifestError(code, `no ${what} ${quote(name)}; ${advice}`, {
    hint,
    details: { warnings: about.length > 0 ? about : index.warnings },
  });
}

async function readAgent(entry: ManifestEntry, index: ManifestIndex): Promise<ParsedAgent> {
  const { name, file, origin } = entry;
  const within = origin === "repository" ? index.repository : undefined;
  const { bytes, digest } = await readManifestFile(file, within);
  const text = decodeText(bytes, file);
  if (typeof text === "string") return parseAgent({ name, file, text }, { origin, digest });
  return { agent: undefined, bottleFrom: { file, line: 1, column: 1 }, issues: [text] };
}

/** The bottles to use. A broken agent has none yet; its faults are reported then. */
function selectBottles(
  parsed: ParsedAgent,
  options: LoadOptions,
  index: ManifestIndex,
): readonly string[] {
  const { bottleNames, agentName } = options;
  const wanted: Wanted = { code: "manifest.unknown-bottle", what: "bottle", index };
  for (const name of bottleNames) find(index.bottles, name, wanted);
  if (bottleNames.length > 0) return [...new Set(bottleNames)];
  if (parsed.agent === undefined) return [];
  const { bottle } = parsed.agent;
  if (bottle === undefined) throw noBottle(agentName, index);
  if (index.bottles.some((it) => it.name === bottle)) {
    return [find(index.bottles, bottle, wanted).name];
  }
  throw missingBottle(parsed, unknown(bottle, index.bottles, wanted));
}

function missingBottle(parsed: ParsedAgent, error: ManifestError): ManifestError {
  const at = parsed.bottleFrom;
  const hint = `edit ${at.file}:${at.line}`;
  const issue: Issue = { ...at, path: "bottle", message: error.message, hint };
  const text = `${at.file}:${at.line}:${at.column}: ${error.message}`;
  return new ManifestError("manifest.unknown-bottle", text, {
    hint,
    issues: [issue],
    details: error.details,
  });
}

function noBottle(agentName: string, index: ManifestIndex): ManifestError {
  const names = index.bottles.map((it) => it.name);
  const message = `agent "${agentName}" has no bottle: neither bottle: in its file nor --bottle is given; one is expected`;
  const hint =
    names.length === 0 ? "run bot-bottle init claude" : `pass --bottle NAME (${names.join(", ")})`;
  return new ManifestError("manifest.unknown-bottle", message, { hint });
}

/** Reads the bottles and, as far as they exist, all their ancestors. */
async function readBottles(
  names: readonly string[],
  index: ManifestIndex,
  userHome: HostPath,
): Promise<BottleFiles> {
  const known = new Map(index.bottles.map((it) => [it.name, it]));
  const wanted: Wanted = { code: "manifest.unknown-bottle", what: "bottle", index };
  const parsed = new Map<string, ParsedBottle>();
  const queue = [...names];
  for (const name of queue) {
    if (parsed.has(name) || !known.has(name)) continue;
    if (parsed.size >= MAX_BOTTLE_FILES) throw tooMany(names);
    const bottle = await readBottle(find(index.bottles, name, wanted), userHome);
    parsed.set(name, bottle);
    queue.push(...bottle.parents.map((link) => link.name));
  }
  return { parsed, names: [...known.keys()] };
}

function tooMany(names: readonly string[]): ManifestError {
  const message = `bottles not read: ${names.join(", ")} build on more than ${MAX_BOTTLE_FILES} files; fewer are expected`;
  return new ManifestError("manifest.invalid", message, { hint: "shorten extends" });
}

async function readBottle(entry: ManifestEntry, userHome: HostPath): Promise<ParsedBottle> {
  const { name, file } = entry;
  const { bytes } = await readManifestFile(file);
  const text = decodeText(bytes, file);
  if (typeof text === "string") return parseBottle({ name, file, text }, userHome);
  return { name, file, parents: [], layer: undefined, issues: [text] };
}
