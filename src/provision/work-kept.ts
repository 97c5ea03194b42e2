/**
 * Whether a tree still equals what the agent was given. Type, mode, size, mtime, ctime and inode are compared, so that a
 * file written and set back in time still counts; whatever cannot be read counts as work. Of content only git's index is
 * read, which `git status` rewrites without changing what it says.
 */
import {
  type Dirent,
  lstatSync,
  readdirSync,
  readlinkSync,
  type Stats,
  writeFileSync,
} from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod/mini";
import { messageOf, ProtocolError, systemCode } from "../base/errors.ts";
import { parseJson } from "../base/json.ts";
import { once } from "../base/once.ts";
import { showBytePath, toBuffer, toBytePath } from "./byte-path.ts";
import { digestGitIndex } from "./git-index.ts";
import { timeSlices } from "./time-slice.ts";

const SNAPSHOT_VERSION = 1;
const GIT_INDEX = ".git/index";

/** The stored form; `stamps` is path, stamp, path, stamp, … */
const storedSchema = once(() =>
  z.strictObject({
    version: z.literal(SNAPSHOT_VERSION),
    ignores_dot_files: z.boolean(),
    git_index: z.nullable(z.string()),
    stamps: z.array(z.string()),
  }),
);

export interface SnapshotOptions {
  /** Leaves out names at the top that begin with a dot: an agent's own state in a home directory. */
  readonly ignoresDotFiles?: boolean;
}

/** What a tree looked like. Paths are byte strings relative to its root; a stamp changes whenever the entry does. */
export interface TreeSnapshot {
  readonly ignoresDotFiles: boolean;
  readonly stamps: ReadonlyMap<string, string>;
  /** Digest of what git's index says; undefined where there is none or it has no digest. */
  readonly gitIndex: string | undefined;
}

/** Looks at a tree. Throws the system error of whatever cannot be read. */
export async function snapshotTree(
  directory: string,
  options: SnapshotOptions = {},
): Promise<TreeSnapshot> {
  const ignoresDotFiles = options.ignoresDotFiles ?? false;
  const stamps = new Map<string, string>();
  await walk(directory, ignoresDotFiles, (path, stamp) => {
    stamps.set(path, stamp);
    return true;
  });
  const gitIndex = stamps.has(GIT_INDEX)
    ? await digestGitIndex(join(directory, GIT_INDEX))
    : undefined;
  return { ignoresDotFiles, stamps, gitIndex };
}

/** The first difference, for people, or undefined when the tree equals its snapshot. */
export async function compareTree(
  directory: string,
  given: TreeSnapshot,
): Promise<string | undefined> {
  const seen = new Set<string>();
  let change: string | undefined;
  let isIndexRewritten = false;
  try {
    await walk(directory, given.ignoresDotFiles, (path, stamp) => {
      const before = given.stamps.get(path);
      seen.add(path);
      if (before === stamp) return true;
      if (path === GIT_INDEX && before !== undefined && given.gitIndex !== undefined) {
        isIndexRewritten = true;
        return true;
      }
      change = `${showBytePath(path)} was ${before === undefined ? "added" : "changed"}`;
      return false;
    });
    if (change === undefined && isIndexRewritten) change = await compareGitIndex(directory, given);
  } catch (error) {
    return `it cannot be read: ${messageOf(error)}`;
  }
  return change ?? firstMissing(seen, given);
}

async function compareGitIndex(
  directory: string,
  { gitIndex }: TreeSnapshot,
): Promise<string | undefined> {
  const now = await digestGitIndex(join(directory, GIT_INDEX));
  return now === gitIndex ? undefined : `${GIT_INDEX} was changed`;
}

function firstMissing(seen: ReadonlySet<string>, { stamps }: TreeSnapshot): string | undefined {
  if (seen.size === stamps.size) return undefined;
  const gone = stamps.keys().find((path) => !seen.has(path)) ?? "something";
  return `${showBytePath(gone)} was removed`;
}

type Visit = (path: string, stamp: string) => boolean;

/** Visits every entry below `directory`, never through a link, until `visit` says false. */
async function walk(directory: string, ignoresDotFiles: boolean, visit: Visit): Promise<void> {
  const root = toBytePath(directory);
  const pause = timeSlices(undefined);
  const pending = [""];
  for (let at = pending.pop(); at !== undefined; at = pending.pop()) {
    for (const entry of listDirectory(`${root}/${at}`)) {
      if (at === "" && ignoresDotFiles && entry.name.startsWith(".")) continue;
      const path = at === "" ? entry.name : `${at}/${entry.name}`;
      const file = toBuffer(`${root}/${path}`);
      if (!visit(path, stampOf(lstatSync(file), file))) return;
      if (entry.isDirectory()) pending.push(path);
    }
    await pause();
  }
}

/** Entries of a directory with byte-string names. */
export function listDirectory(bytePath: string): Dirent[] {
  return readdirSync(toBuffer(bytePath), { withFileTypes: true, encoding: "latin1" });
}

/** A directory's own times change with every temporary file in it; its entries say what matters. */
function stampOf(stats: Stats, file: Buffer): string {
  const mode = stats.mode.toString(8);
  if (stats.isDirectory()) return mode;
  if (stats.isSymbolicLink()) return `${mode} ${readlinkSync(file, "latin1")}`;
  return `${mode} ${stats.size} ${stats.mtimeMs} ${stats.ctimeMs} ${stats.ino}`;
}

/** Stores a snapshot. */
export function writeSnapshot(path: string, tree: TreeSnapshot): void {
  const stored = {
    version: SNAPSHOT_VERSION,
    ignores_dot_files: tree.ignoresDotFiles,
    git_index: tree.gitIndex ?? null,
    stamps: [...tree.stamps].flat(),
  };
  writeFileSync(path, `${JSON.stringify(stored)}\n`, { mode: 0o600 });
}

/** Reads what writeSnapshot stored, or undefined when nothing was. Throws ProtocolError when it is damaged. */
export async function readSnapshot(path: string): Promise<TreeSnapshot | undefined> {
  const text = await readIfThere(path);
  if (text === undefined) return undefined;
  const tree = decodeTree(tryJson(text));
  if (tree !== undefined) return tree;
  throw new ProtocolError("protocol.record", `a snapshot is damaged: ${path}`);
}

function decodeTree(stored: unknown): TreeSnapshot | undefined {
  const parsed = storedSchema().safeParse(stored);
  if (!parsed.success || parsed.data.stamps.length % 2 !== 0) return undefined;
  const { ignores_dot_files: ignoresDotFiles, git_index: gitIndex, stamps: flat } = parsed.data;
  const stamps = new Map<string, string>();
  for (let i = 0; i < flat.length; i += 2) stamps.set(flat[i] ?? "", flat[i + 1] ?? "");
  return { ignoresDotFiles, stamps, gitIndex: gitIndex ?? undefined };
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (systemCode(error) === "ENOENT") return undefined;
    throw error;
  }
}

function tryJson(text: string): unknown {
  try {
    return parseJson(text);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
