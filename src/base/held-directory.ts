/**
 * A directory held open. On Linux every step below it goes through its descriptor, so that nobody can swap a link under a path
 * that was checked; elsewhere the last component alone is safe from that.
 */
import { constants } from "node:fs";
import { type FileHandle, mkdir, open, readdir, realpath } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { systemCode } from "./errors.ts";
import { decodeName } from "./left-out.ts";
import { refuse, treeSegments } from "./tree.ts";

const DIRECTORY_FLAGS = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;
/** Mode of directories that no entry describes. */
const PARENT_MODE = 0o755;

export class HeldDirectory implements AsyncDisposable {
  readonly #handle: FileHandle;
  readonly #base: string;

  private constructor(handle: FileHandle, path: string) {
    this.#handle = handle;
    this.#base = process.platform === "linux" ? `/proc/self/fd/${handle.fd}` : path;
  }

  /** Opens a directory by a path whose own last component is not a link. Rejects with a system error. */
  static async open(path: string): Promise<HeldDirectory> {
    return new HeldDirectory(await open(path, DIRECTORY_FLAGS), path);
  }

  /** A path to one child, for one system call that does not follow its last component. */
  child(name: string): string {
    return `${this.#base}/${name}`;
  }

  /** Opens a child directory; ELOOP or ENOTDIR when it is a link. */
  async openDirectory(name: string): Promise<HeldDirectory> {
    return HeldDirectory.open(this.child(name));
  }

  /** Opens a child directory, and makes it when it is missing. */
  async makeDirectory(
    name: string,
    mode: number,
  ): Promise<{ readonly directory: HeldDirectory; readonly isNew: boolean }> {
    const isNew = await makeOne(this.child(name), mode);
    return { directory: await this.openDirectory(name), isNew };
  }

  /** Names in it, sorted; one that is not UTF-8 is given to `onOther` instead. */
  async names(onOther: (raw: Buffer) => void): Promise<string[]> {
    const names: string[] = [];
    for (const raw of await readdir(`${this.#base}/`, { encoding: "buffer" })) {
      const name = decodeName(raw);
      if (name === undefined) onOther(raw);
      else names.push(name);
    }
    return names.sort();
  }

  async chmod(mode: number): Promise<void> {
    await this.#handle.chmod(mode);
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

export interface ParentOptions {
  /** Links are followed down to this directory and never below it. Absent: they are followed down to the parent. */
  readonly within?: string | undefined;
  /** Makes missing parents. */
  readonly makesParents?: boolean | undefined;
}

/** Opens the directory that holds `path`, and gives the last name. Rejects with a system error or a {@link refuse}d path. */
export async function openParent(
  path: string,
  options: ParentOptions,
): Promise<{ readonly parent: HeldDirectory; readonly name: string }> {
  const absolute = resolve(path);
  const { within, makesParents = false } = options;
  const top = within === undefined ? await existingParent(absolute, makesParents) : resolve(within);
  if (absolute !== top && !absolute.startsWith(join(top, "/")))
    throw refuse(path, `a path in ${top} is expected`);
  const segments = [...treeSegments(absolute.slice(join(top, "/").length))];
  // A path that is the top itself has no name below it: "." stands for it.
  const name = segments.pop() ?? ".";
  let parent = await HeldDirectory.open(await realpath(top));
  for (const segment of segments) {
    const next = await step(parent, segment, makesParents);
    await parent.close();
    parent = next;
  }
  return { parent, name };
}

/** The parent, or where parents may be made, the nearest directory above that exists. (Node's recursive mkdir never returns in /proc.) */
async function existingParent(path: string, makes: boolean): Promise<string> {
  for (let parent = dirname(path); ; parent = dirname(parent)) {
    try {
      await realpath(parent);
      return parent;
    } catch (error) {
      if (!makes || parent === "/" || systemCode(error) !== "ENOENT") throw error;
    }
  }
}

async function step(parent: HeldDirectory, name: string, makes: boolean): Promise<HeldDirectory> {
  try {
    if (makes) return (await parent.makeDirectory(name, PARENT_MODE)).directory;
    return await parent.openDirectory(name);
  } catch (error) {
    await parent.close();
    throw error;
  }
}

async function makeOne(path: string, mode: number): Promise<boolean> {
  try {
    await mkdir(path, { mode });
    return true;
  } catch (error) {
    if (systemCode(error) === "EEXIST") return false;
    throw error;
  }
}
