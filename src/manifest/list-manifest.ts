/** Finds the names of agents and bottles without reading a file, so that one broken file does not block the others. */
import { dirname, join } from "node:path";
import { ManifestError, systemCode } from "../base/errors.ts";
import type { HomePaths } from "../base/paths.ts";
import { isName } from "./names.ts";
import { listNames, resolveLinks } from "./read.ts";
import type { AgentSpec } from "./types.ts";

/** Directory of a repository that may hold agents. */
export const REPOSITORY_DIRECTORY = ".bot-bottle";
/** Manifest of an earlier version. */
const LEGACY_FILE = "bot-bottle.json";

/** One file that defines a name. */
export interface ManifestEntry {
  readonly name: string;
  readonly file: string;
  readonly origin: AgentSpec["origin"];
  /** Other files of the same directory that claim the name; such a name cannot be used. */
  readonly rivals: readonly string[];
}

/** All names, found without reading any file. */
export interface ManifestIndex {
  /** Agents by name: the operator's and, where those have no such name, the repository's. */
  readonly agents: readonly ManifestEntry[];
  readonly bottles: readonly ManifestEntry[];
  readonly warnings: readonly string[];
  /** The repository's directory, links not resolved. */
  readonly repository: string;
}

/**
 * Lists agents and bottles. `userHome` is the operator's home directory, where an earlier version kept its manifest; when
 * it is not given, the parent of the home of bot-bottle is taken for it.
 */
export async function listManifest(
  home: HomePaths,
  cwd: string,
  userHome: string = dirname(home.home),
): Promise<ManifestIndex> {
  const [bottles, homeAgents, guests] = await Promise.all([
    scan(home.bottles, "home"),
    scan(home.agents, "home"),
    scanRepository(cwd, home, userHome),
  ]);
  const own = new Map(homeAgents.entries.map((it) => [it.name, it]));
  const shadowed = guests.entries.filter((it) => own.has(it.name));
  const warnings = [
    ...bottles.warnings,
    ...homeAgents.warnings,
    ...shadowed.map(
      (it) => `${it.file} is ignored: your own agent ${it.name} wins over the repository's`,
    ),
    ...guests.warnings,
    ...(await legacy(userHome, !bottles.isThere && !homeAgents.isThere)),
  ];
  const agents = [...homeAgents.entries, ...guests.entries.filter((it) => !own.has(it.name))];
  return { agents: agents.sort(byName), bottles: bottles.entries, warnings, repository: cwd };
}

const byName = (a: ManifestEntry, b: ManifestEntry): number => (a.name < b.name ? -1 : 1);

interface Scanned {
  readonly isThere: boolean;
  readonly entries: readonly ManifestEntry[];
  readonly warnings: readonly string[];
}

function scanned(): Scanned {
  return { isThere: false, entries: [], warnings: [] };
}

/** What may not be read there is only not used: the operator may stand in a directory of somebody else. */
async function scanRepository(cwd: string, home: HomePaths, userHome: string): Promise<Scanned> {
  const repository = join(cwd, REPOSITORY_DIRECTORY);
  try {
    const isOwn = await isSame(repository, home.home);
    const agents = isOwn ? scanned() : await scan(join(repository, "agents"), "repository");
    const bottles = isOwn ? undefined : await listNames(join(repository, "bottles"));
    const ignored = `${join(repository, "bottles")} is ignored: bottles come only from ${home.bottles}`;
    return {
      ...agents,
      warnings: [
        ...agents.warnings,
        ...(bottles === undefined ? [] : [ignored]),
        ...(userHome === cwd ? [] : await legacy(cwd, !agents.isThere)),
      ],
    };
  } catch (error) {
    const code = error instanceof ManifestError ? systemCode(error.cause) : undefined;
    if (code !== "EACCES" && code !== "EPERM") throw error;
    return { ...scanned(), warnings: [`${repository} is ignored: it may not be read (${code})`] };
  }
}

/** Names that differ only in case are rivals: on some file systems they are one file, so neither may silently win. */
async function scan(directory: string, origin: AgentSpec["origin"]): Promise<Scanned> {
  const names = await listNames(directory);
  if (names === undefined) return scanned();
  const groups = new Map<string, string[]>();
  for (const name of names) {
    if (!name.toLowerCase().endsWith(".md")) continue;
    const key = name.toLowerCase().slice(0, -3);
    groups.set(key, [...(groups.get(key) ?? []), name]);
  }
  const entries: ManifestEntry[] = [];
  const warnings: string[] = [];
  for (const [name, files] of groups) {
    const exact = files.find((it) => it === `${name}.md`);
    if (exact === undefined || !isName(name)) {
      const shown = files.map((it) => join(directory, JSON.stringify(it).slice(1, -1)));
      warnings.push(
        `${shown.join(", ")} is ignored: a name of lower-case letters, digits and hyphens, then .md, is expected`,
      );
      continue;
    }
    const rivals = files.filter((it) => it !== exact).map((it) => join(directory, it));
    entries.push({ name, file: join(directory, exact), origin, rivals });
  }
  return { isThere: true, entries: entries.sort(byName), warnings };
}

async function isSame(a: string, b: string): Promise<boolean> {
  const real = await resolveLinks(a);
  return real !== undefined && real === (await resolveLinks(b));
}

async function legacy(directory: string, isAlone: boolean): Promise<readonly string[]> {
  if (!isAlone) return [];
  const file = join(directory, LEGACY_FILE);
  if ((await resolveLinks(file)) === undefined) return [];
  return [
    `${file} is of an earlier version and is not read: write bottles/NAME.md and agents/NAME.md, or run bot-bottle init`,
  ];
}
