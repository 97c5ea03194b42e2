/** What of a workspace's git repository lies outside the workspace, and so does not come along. Reads only. */
import { lstatSync, readFileSync, realpathSync } from "node:fs";
import { dirname, isAbsolute, join, relative, resolve } from "node:path";

/** Git's own files are small; more is not one of them. */
const MAX_POINTER_BYTES = 64 * 1024;

/** Warnings for people, empty when the repository is whole. */
export function describeGitOutside(source: string): readonly string[] {
  const gitPath = join(source, ".git");
  const kind = kindOf(gitPath);
  if (kind === "link") return [`.git is a symbolic link: git will not work in the bottle`];
  if (kind === "file") return describeGitFile(source, gitPath);
  if (kind === "directory") return describeAlternates(source, gitPath);
  return [];
}

/** A worktree or submodule: `.git` names a directory elsewhere, which the bottle must not reach. */
function describeGitFile(source: string, gitPath: string): readonly string[] {
  const target = /^gitdir: (.+)$/m.exec(readSmall(gitPath))?.[1];
  if (target === undefined || isInside(source, resolve(dirname(gitPath), target))) return [];
  return [
    "this is a git worktree or submodule: its repository lies outside and is not copied, so git will not work in the bottle; clone it to a directory of its own",
  ];
}

function describeAlternates(source: string, gitPath: string): readonly string[] {
  const objects = join(gitPath, "objects");
  const outside = readSmall(join(objects, "info", "alternates"))
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"))
    .filter((line) => !isInside(source, resolve(objects, line)));
  if (outside.length === 0) return [];
  return [
    "the git repository borrows objects from outside, which are not copied: run git repack -a -d and remove .git/objects/info/alternates to make it whole",
  ];
}

function isInside(root: string, path: string): boolean {
  const way = relative(realOr(root), realOr(path));
  return way === "" || (!way.startsWith("..") && !isAbsolute(way));
}

function realOr(path: string): string {
  try {
    return realpathSync(path);
  } catch (error) {
    if (error instanceof Error) return path;
    throw error;
  }
}

function kindOf(path: string): "file" | "directory" | "link" | undefined {
  const stats = lstatSync(path, { throwIfNoEntry: false });
  if (stats?.isSymbolicLink() === true) return "link";
  if (stats?.isDirectory() === true) return "directory";
  return stats?.isFile() === true ? "file" : undefined;
}

function readSmall(path: string): string {
  const stats = lstatSync(path, { throwIfNoEntry: false });
  if (stats?.isFile() !== true || stats.size > MAX_POINTER_BYTES) return "";
  return readFileSync(path, "utf8");
}
