/**
 * Removes a tree in which a guest has worked, whatever shape the guest gave it. What lies deeper is moved up to the top, so that
 * neither a path nor memory grows with the depth; every step goes through a held directory, and no link is followed.
 */
import {
  chmodSync,
  closeSync,
  constants,
  type Dir,
  lstatSync,
  opendirSync,
  openSync,
  renameSync,
  rmdirSync,
  unlinkSync,
} from "node:fs";
import { HostError, messageOf, systemCode } from "../base/errors.ts";
import { toBuffer, toBytePath } from "./byte-path.ts";
import { timeSlices } from "./time-slice.ts";

const IS_LINUX = process.platform === "linux";
/** O_PATH, for which Node has no name: it opens a directory whose mode forbids reading it, too. */
const O_PATH = 0o10_000_000;
const HOLD_FLAGS = O_PATH | constants.O_DIRECTORY | constants.O_NOFOLLOW;
/** Rounds through one directory: what somebody still writes into it is gone by the next one, or stays. */
const MAX_ROUNDS = 8;
const OWNER_ACCESS = 0o700;

/** Removes it, links unfollowed; nothing there is no error. Rejects with HostError `host.unwritable` when something stays. */
export async function removeTree(path: string): Promise<void> {
  const removal = new Removal(toBytePath(path));
  await removal.run();
  if (removal.firstError === undefined) return;
  const { firstError } = removal;
  throw new HostError(
    "host.unwritable",
    `cannot remove ${path}: ${systemCode(firstError) ?? messageOf(firstError)}`,
    { hint: "remove it as the user who owns what is in it", cause: firstError },
  );
}

/** A directory that nobody can swap for a link any more (elsewhere than on Linux: its path). */
class HeldDirectory implements Disposable {
  /** The way to what is in it. */
  readonly base: string;
  readonly #fd: number | undefined;

  /** Throws ENOTDIR for what is no directory, links included. */
  constructor(path: string) {
    if (IS_LINUX) {
      this.#fd = openSync(toBuffer(path), HOLD_FLAGS);
      this.base = `/proc/self/fd/${this.#fd}`;
    } else {
      if (!lstatSync(toBuffer(path)).isDirectory()) throw notDirectory();
      this.base = path;
    }
  }

  /** Its owner may change it and look into it again. What cannot be unlocked shows in the steps that follow. */
  unlock(): void {
    try {
      chmodSync(toBuffer(this.base), OWNER_ACCESS);
    } catch (error) {
      if (systemCode(error) === undefined) throw error;
    }
  }

  open(): Dir {
    return opendirSync(`${toBuffer(this.base).toString("utf8")}/.`, { encoding: "latin1" });
  }

  [Symbol.dispose](): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
  }
}

function notDirectory(): Error {
  return Object.assign(new Error("not a directory"), { code: "ENOTDIR" });
}

class Removal {
  firstError: unknown;
  readonly #root: string;
  readonly #pause = timeSlices(undefined);
  #failures = 0;
  /** What was moved to the top is called by its number; from `#done` on it is still there. */
  #moved = 0;
  #done = 0;

  constructor(root: string) {
    this.#root = root;
  }

  async run(): Promise<void> {
    await this.#enter(this.#root, async (top) => {
      await this.#eachEntry(top, (path) => this.#remove(path, top));
      for (; this.#done < this.#moved; this.#done += 1)
        await this.#remove(`${top.base}/${this.#done}`, top);
    });
  }

  /** Removes one entry of the top: a directory's own directories are moved beside it. */
  #remove(path: string, top: HeldDirectory): Promise<void> {
    return this.#enter(path, (held) =>
      this.#eachEntry(held, (child, isDirectory) => {
        if (isDirectory) this.#moveUp(child, top);
        else this.#unlink(child);
      }),
    );
  }

  /** Empties a directory and removes it; anything else is unlinked. */
  async #enter(path: string, empty: (held: HeldDirectory) => Promise<void>): Promise<void> {
    let opened: HeldDirectory;
    try {
      opened = new HeldDirectory(path);
    } catch (error) {
      const code = systemCode(error);
      if (code === "ENOTDIR" || code === "ELOOP") this.#unlink(path);
      else if (code !== "ENOENT") this.#fail(error);
      return;
    }
    using held = opened;
    held.unlock();
    for (let round = 1; round <= MAX_ROUNDS; round += 1) {
      const before = this.#failures;
      await empty(held);
      if (this.#failures > before || this.#removeEmpty(path, round === MAX_ROUNDS)) return;
    }
  }

  async #eachEntry(
    held: HeldDirectory,
    visit: (path: string, isDirectory: boolean) => unknown,
  ): Promise<void> {
    try {
      using directory = held.open();
      for (let entry = directory.readSync(); entry !== null; entry = directory.readSync()) {
        await visit(`${held.base}/${entry.name}`, entry.isDirectory());
        await this.#pause();
      }
    } catch (error) {
      this.#fail(error);
    }
  }

  #moveUp(path: string, top: HeldDirectory): void {
    for (let isLocked = true; ; ) {
      try {
        renameSync(toBuffer(path), toBuffer(`${top.base}/${this.#moved}`));
        this.#moved += 1;
        return;
      } catch (error) {
        const code = systemCode(error);
        if (code === "ENOENT") return;
        // A name that is taken is one of the guest's, and its turn comes like that of the moved ones.
        if (code === "ENOTEMPTY" || code === "EEXIST" || code === "ENOTDIR") this.#moved += 1;
        else if (code === "EACCES" && isLocked) isLocked = unlockAt(path);
        else return this.#fail(error);
      }
    }
  }

  #unlink(path: string): void {
    try {
      unlinkSync(toBuffer(path));
    } catch (error) {
      if (systemCode(error) !== "ENOENT") this.#fail(error);
    }
  }

  /** False when it was not empty, and another round may help. */
  #removeEmpty(path: string, isLast: boolean): boolean {
    try {
      rmdirSync(toBuffer(path));
    } catch (error) {
      const code = systemCode(error);
      if (!isLast && (code === "ENOTEMPTY" || code === "EEXIST")) return false;
      if (code !== "ENOENT") this.#fail(error);
    }
    return true;
  }

  #fail(error: unknown): void {
    this.#failures += 1;
    this.firstError ??= error;
  }
}

/** A directory changes its parent only where it may be written. Returns that it need not be tried again. */
function unlockAt(path: string): false {
  try {
    using held = new HeldDirectory(path);
    held.unlock();
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
  }
  return false;
}
