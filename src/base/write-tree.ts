/**
 * Writes a file tree below one root. The items may be hostile: no path leaves the root, no link is followed or written through
 * (not even one that an earlier item made), nothing but a plain file is replaced, and every bound is checked before it is passed.
 */
import { constants } from "node:fs";
import { type FileHandle, lstat, open, symlink, unlink } from "node:fs/promises";
import { systemCode } from "./errors.ts";
import { type HeldDirectory, openParent, type ParentOptions } from "./held-directory.ts";
import { LeftOut } from "./left-out.ts";
import { ignore } from "./log.ts";
import { MAX_PATH_LENGTH, refuse, type TreeEntry, type TreeItem, treeSegments } from "./tree.ts";

/** Permission bits only: setuid, setgid and sticky are never set. */
const MODE_MASK = 0o777;
/** What we need ourselves of a directory that is being filled. */
const OWNER_ALL = 0o700;
/** Mode of directories that no entry describes. */
const DIRECTORY_MODE = 0o755;
const CREATE_FLAGS =
  constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
/** Entries of one tree unless the caller says otherwise: ten times a large checkout with its dependencies. */
export const MAX_TREE_ENTRIES = 2_000_000;

export interface WriteTreeOptions extends ParentOptions {
  /** A link in a file's place is replaced, as a plain file is; else it is refused. */
  readonly replacesLinks?: boolean;
  readonly maxEntries?: number;
  /** Sum of all file sizes; unbounded unless given. */
  readonly maxBytes?: number;
}

/** Writes items in order and returns how many. Rejects with UsageError `usage.path` or a system error; what was written stays. */
export async function writeTree(
  root: string,
  items: AsyncIterable<TreeItem> | Iterable<TreeItem>,
  options: WriteTreeOptions = {},
): Promise<number> {
  const { parent, name } = await openParent(root, options);
  const writer = new TreeWriter(parent, name, options);
  try {
    const leftOut = new LeftOut();
    for await (const item of leftOut.hold(items)) await writer.write(item);
    await writer.finish();
    leftOut.check();
    return writer.count;
  } finally {
    await writer.close();
  }
}

interface Level {
  readonly name: string;
  readonly directory: HeldDirectory;
}

class TreeWriter {
  count = 0;
  readonly #options: WriteTreeOptions;
  /** Directories on the way to the current one, held open: first the root's parent, then the root. */
  readonly #levels: Level[];
  readonly #rootName: string;
  /** Modes that would keep us out are set when all is written. */
  readonly #lateModes: { readonly segments: readonly string[]; readonly mode: number }[] = [];
  #bytes = 0;

  constructor(parent: HeldDirectory, rootName: string, options: WriteTreeOptions) {
    this.#levels = [{ name: "", directory: parent }];
    this.#rootName = rootName;
    this.#options = options;
  }

  async write(item: TreeItem): Promise<void> {
    const { entry } = item;
    this.#count(entry);
    // The root is a child of its parent like any other, so that all of them are handled alike.
    const segments = [this.#rootName, ...treeSegments(entry.path)];
    if (entry.type === "directory") {
      await this.#directory(segments, entry.mode & MODE_MASK);
      return;
    }
    const name = segments.pop() ?? "";
    const directory = await this.#enter(segments);
    await this.#clear(directory, name, entry.path);
    if (entry.type === "symlink") await makeLink(directory, name, entry);
    else await makeFile(directory, name, { ...entry, content: item.content });
  }

  /** Sets the modes that had to wait, innermost first. */
  async finish(): Promise<void> {
    for (const { segments, mode } of this.#lateModes.reverse()) {
      const directory = await this.#enter(segments);
      await directory.chmod(mode);
    }
  }

  async close(): Promise<void> {
    for (const level of this.#levels) await level.directory.close();
  }

  #count(entry: TreeEntry): void {
    const { maxEntries = MAX_TREE_ENTRIES, maxBytes = Number.MAX_SAFE_INTEGER } = this.#options;
    this.count += 1;
    this.#bytes += entry.type === "file" ? entry.size : 0;
    if (this.count > maxEntries)
      throw refuse(entry.path, `more than ${maxEntries} entries; at most that many are allowed`);
    if (this.#bytes > maxBytes)
      throw refuse(entry.path, `more than ${maxBytes} bytes; at most that many are allowed`);
  }

  async #directory(segments: readonly string[], mode: number): Promise<void> {
    const name = segments.at(-1) ?? "";
    const above = await this.#enter(segments.slice(0, -1));
    const { directory, isNew } = await above.makeDirectory(name, OWNER_ALL);
    this.#levels.push({ name, directory });
    if (!isNew) return;
    await directory.chmod(mode | OWNER_ALL);
    if ((mode & OWNER_ALL) !== OWNER_ALL) this.#lateModes.push({ segments, mode });
  }

  /** Opens the directory at `segments`, reusing what is open; makes what is missing. */
  async #enter(segments: readonly string[]): Promise<HeldDirectory> {
    let shared = 0;
    while (shared < segments.length && this.#levels[shared + 1]?.name === segments[shared])
      shared += 1;
    for (const level of this.#levels.splice(shared + 1)) await level.directory.close();
    for (const name of segments.slice(shared)) {
      const { directory } = await this.#current.makeDirectory(name, DIRECTORY_MODE);
      this.#levels.push({ name, directory });
    }
    return this.#current;
  }

  get #current(): HeldDirectory {
    const level = this.#levels.at(-1);
    if (level === undefined) throw refuse("", "its parent is closed");
    return level.directory;
  }

  /** Makes room for a file or link: a plain file goes, anything else is refused. */
  async #clear(directory: HeldDirectory, name: string, path: string): Promise<void> {
    const info = await statOf(directory.child(name));
    if (info === undefined) return;
    const isReplaceable =
      info.isFile() || (info.isSymbolicLink() && this.#options.replacesLinks === true);
    if (!isReplaceable) throw refuse(path, "something that is not a plain file is in its place");
    await unlink(directory.child(name));
  }
}

async function statOf(path: string): Promise<Awaited<ReturnType<typeof lstat>> | undefined> {
  try {
    return await lstat(path);
  } catch (error) {
    if (systemCode(error) === "ENOENT") return undefined;
    throw error;
  }
}

async function makeLink(
  directory: HeldDirectory,
  name: string,
  entry: { readonly path: string; readonly target: string },
): Promise<void> {
  const { path, target } = entry;
  if (target === "" || target.includes("\0") || target.length > MAX_PATH_LENGTH)
    throw refuse(path, "its link has no usable target");
  await symlink(target, directory.child(name));
}

interface FileToWrite {
  readonly path: string;
  readonly mode: number;
  readonly size: number;
  readonly content: AsyncIterable<Uint8Array> | undefined;
}

async function makeFile(directory: HeldDirectory, name: string, file: FileToWrite): Promise<void> {
  const handle = await open(directory.child(name), CREATE_FLAGS, 0o600);
  try {
    await fill(handle, file);
    await handle.chmod(file.mode & MODE_MASK);
  } catch (error) {
    // Half a file must not pass for a whole one.
    await ignore(unlink(directory.child(name)), "the first error is the one to tell");
    throw error;
  } finally {
    await handle.close();
  }
}

async function fill(handle: FileHandle, file: FileToWrite): Promise<void> {
  let written = 0;
  for await (const chunk of file.content ?? []) {
    if (written + chunk.length > file.size)
      throw refuse(file.path, `its content is longer than its ${file.size} bytes`);
    for (let offset = 0; offset < chunk.length; ) {
      const { bytesWritten } = await handle.write(chunk, offset);
      offset += bytesWritten;
    }
    written += chunk.length;
  }
  if (written < file.size)
    throw refuse(file.path, `its content is ${written} bytes; ${file.size} are expected`);
}
