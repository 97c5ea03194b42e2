/** Reads a file tree without following a link anywhere in it. Sockets, pipes and devices are left out. */
import { constants } from "node:fs";
import { type FileHandle, lstat, open, readlink } from "node:fs/promises";
import { systemCode } from "./errors.ts";
import { HeldDirectory, openParent } from "./held-directory.ts";
import { decodeName, LeftOut } from "./left-out.ts";
import { MAX_TREE_DEPTH, refuse, type TreeItem } from "./tree.ts";

const CHUNK_BYTES: number = 64 * 1024;
/** Permission bits only: setuid, setgid and sticky never travel. */
const MODE_MASK = 0o777;
/** A pipe that took a file's place must not block us. */
const FILE_FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

export interface ReadTreeOptions {
  /** Links are followed down to this directory and never below it. Absent: they are followed down to the root's parent. */
  readonly within?: string | undefined;
}

/** A directory whose children are being read. */
interface Level {
  readonly directory: HeldDirectory;
  readonly path: string;
  names: string[];
}

/**
 * Items of a file or directory, each directory before what is in it. Rejects with a system error or UsageError `usage.path`; when
 * names or links were left out because they are not UTF-8, behind the last item.
 */
export async function* readTree(
  root: string,
  options: ReadTreeOptions = {},
): AsyncGenerator<TreeItem, void, undefined> {
  const { parent, name } = await openParent(root, options);
  const leftOut = new LeftOut();
  const levels: Level[] = [{ directory: parent, path: "", names: [name] }];
  try {
    for (let level = levels.at(-1); level !== undefined; level = levels.at(-1)) {
      const child = level.names.pop();
      if (child === undefined) {
        levels.pop();
        await level.directory.close();
        continue;
      }
      const isRoot = levels.length === 1;
      const path = isRoot ? "" : level.path === "" ? child : `${level.path}/${child}`;
      const below = yield* readOne(level.directory, child, { path, leftOut });
      if (below === undefined) continue;
      const next: Level = { directory: below, path, names: [] };
      levels.push(next);
      if (levels.length > MAX_TREE_DEPTH)
        throw refuse(path, `at most ${MAX_TREE_DEPTH} levels are allowed`);
      next.names = (await below.names((raw) => leftOut.add(path, raw))).reverse();
    }
  } finally {
    for (const level of levels) await level.directory.close();
  }
  leftOut.check();
}

/** Yields one child; returns it opened when it is a directory. */
async function* readOne(
  parent: HeldDirectory,
  name: string,
  { path, leftOut }: { readonly path: string; readonly leftOut: LeftOut },
): AsyncGenerator<TreeItem, HeldDirectory | undefined, undefined> {
  const info = await unlessGone(lstat(parent.child(name)), path);
  if (info?.isSymbolicLink() === true) {
    const raw = await unlessGone(readlink(parent.child(name), { encoding: "buffer" }), path);
    const target = raw && decodeName(raw);
    if (raw !== undefined && target === undefined) leftOut.add("", Buffer.from(path));
    if (target !== undefined)
      yield { entry: { kind: "entry", type: "symlink", path, target }, content: undefined };
  } else if (info?.isFile() === true) {
    yield* readFile(parent.child(name), path);
  } else if (info?.isDirectory() === true) {
    yield {
      entry: { kind: "entry", type: "directory", path, mode: info.mode & MODE_MASK },
      content: undefined,
    };
    return unlessGone(parent.openDirectory(name), path);
  }
  return undefined;
}

async function* readFile(file: string, path: string): AsyncGenerator<TreeItem, void, undefined> {
  const handle = await unlessGone(open(file, FILE_FLAGS), path);
  if (handle === undefined) return;
  try {
    const info = await handle.stat();
    if (!info.isFile()) return;
    const entry = {
      kind: "entry",
      type: "file",
      path,
      mode: info.mode & MODE_MASK,
      size: info.size,
    } as const;
    yield { entry, content: contentOf(handle, path, info.size) };
  } finally {
    await handle.close();
  }
}

/** What went between listing and reading is no error, unless it is the root. */
async function unlessGone<T>(work: Promise<T>, path: string): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if (path !== "" && systemCode(error) === "ENOENT") return undefined;
    throw error;
  }
}

/** Exactly `size` bytes: a file that grows is cut there, one that shrinks is an error. */
async function* contentOf(
  handle: FileHandle,
  path: string,
  size: number,
): AsyncGenerator<Uint8Array, void, undefined> {
  for (let rest = size; rest > 0; ) {
    const chunk = Buffer.allocUnsafe(Math.min(rest, CHUNK_BYTES));
    const { bytesRead } = await handle.read(chunk, 0, chunk.length, size - rest);
    if (bytesRead === 0) throw refuse(path, "it became shorter while it was read");
    rest -= bytesRead;
    yield chunk.subarray(0, bytesRead);
  }
}
