/** A file tree as a sequence of entries: what copies, provisioning and snapshots speak. A path in it never leaves its root. */
import { UsageError } from "./errors.ts";

/** Longest path and link target: PATH_MAX of Linux. */
export const MAX_PATH_LENGTH = 4096;
/** Deepest nesting; each level holds a descriptor while its content is copied. */
export const MAX_TREE_DEPTH = 200;

/** One directory, file or symbolic link. `path` is relative to the tree's root, "" for the root itself. */
export type TreeEntry =
  | {
      readonly kind: "entry";
      readonly type: "directory";
      readonly path: string;
      readonly mode: number;
    }
  | {
      readonly kind: "entry";
      readonly type: "file";
      readonly path: string;
      readonly mode: number;
      readonly size: number;
    }
  | {
      readonly kind: "entry";
      readonly type: "symlink";
      readonly path: string;
      readonly target: string;
    };

/** An entry with the bytes of a file: exactly `size` of them, to be read before the next item is asked for. */
export interface TreeItem {
  readonly entry: TreeEntry;
  readonly content: AsyncIterable<Uint8Array> | undefined;
}

/** Splits an entry's path into its segments, none for the root. Throws {@link UsageError} on a path that is not plainly relative. */
export function treeSegments(path: string): readonly string[] {
  if (path === "") return [];
  const segments = path.split("/");
  const isPlain = segments.every((it) => it !== "" && it !== "." && it !== "..");
  if (!isPlain || path.includes("\0"))
    throw refuse(path, 'a relative path without "." and ".." is expected');
  if (path.length > MAX_PATH_LENGTH)
    throw refuse(path, `at most ${MAX_PATH_LENGTH} characters are allowed`);
  if (segments.length > MAX_TREE_DEPTH)
    throw refuse(path, `at most ${MAX_TREE_DEPTH} levels are allowed`);
  return segments;
}

/** The error of an entry that is not written or read. */
export function refuse(path: string, why: string): UsageError {
  return new UsageError(
    "usage.path",
    `copy refused: ${path === "" ? "the path itself" : JSON.stringify(path.slice(0, 200))}: ${why}`,
  );
}
