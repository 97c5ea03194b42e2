/**
 * The agent's own copy of a directory: everything in it, `.git` included, nothing outside it. Links are recreated, never
 * followed; what is neither file, directory nor link stays behind and is reported.
 */
import {
  chmodSync,
  type Dirent,
  lchownSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  readlinkSync,
  realpathSync,
  type Stats,
  symlinkSync,
  utimesSync,
} from "node:fs";
import { isAbsolute, relative } from "node:path";
import { type Clock, systemClock } from "../base/clock.ts";
import { BottleError, HostError, LaunchError, messageOf, systemCode } from "../base/errors.ts";
import { showBytePath, toBuffer, toBytePath } from "./byte-path.ts";
import { copyFileContent, dropSpecialBits } from "./copy-file.ts";
import { describeGitOutside } from "./git-outside.ts";
import { timeSlices } from "./time-slice.ts";
import { listDirectory, snapshotTree, type TreeSnapshot } from "./work-kept.ts";

/** Large files under way at one time: as many as Node has worker threads. */
const MAX_LARGE_FILES = 4;
/** Milliseconds between two progress reports. */
const PROGRESS_MS = 500;
/** Warnings of one sort that are spelled out. */
const MAX_NAMED = 5;

export interface WorkspaceCopy {
  readonly source: string;
  /** Made when missing; must be empty. */
  readonly target: string;
  readonly signal?: AbortSignal | undefined;
  /** Told now and then how far it is: "1200 files, 34 MiB". */
  readonly onProgress?: ((detail: string) => void) | undefined;
  /** Whose the copy becomes; only root can give it away. */
  readonly owner?: { readonly uid: number; readonly gid: number } | undefined;
  readonly clock?: Clock;
}

export interface CopiedWorkspace {
  /** The copy as the agent gets it. */
  readonly snapshot: TreeSnapshot;
  readonly files: number;
  readonly bytes: number;
  /** What did not come along, for people. */
  readonly warnings: readonly string[];
}

/**
 * Copies a workspace. Throws LaunchError `launch.workspace`, HostError `host.disk-full`, or the signal's reason; what was
 * copied by then stays for the caller's teardown.
 */
export async function copyWorkspace(options: WorkspaceCopy): Promise<CopiedWorkspace> {
  const job = new CopyJob(options);
  try {
    refuseOverlap(options);
    await job.run();
    return {
      snapshot: await snapshotTree(options.target),
      files: job.files,
      bytes: job.bytes,
      warnings: [...describeGitOutside(options.source), ...job.warnings()],
    };
  } catch (error) {
    if (error instanceof BottleError || options.signal?.aborted === true) throw error;
    throw workspaceError(error, options);
  }
}

/** A copy into itself would never end, and the bottles' own state is nobody's workspace. */
function refuseOverlap({ source, target }: WorkspaceCopy): void {
  const root = realpathSync(source);
  if (!lstatSync(root).isDirectory()) {
    throw new LaunchError(
      "launch.workspace",
      `the workspace cannot be copied: ${source} is not a directory`,
    );
  }
  mkdirSync(target, { recursive: true, mode: 0o700 });
  const way = relative(root, realpathSync(target));
  if (way !== "" && (way === ".." || way.startsWith("../") || isAbsolute(way))) return;
  throw new LaunchError(
    "launch.workspace",
    `the workspace cannot be copied: ${source} contains bot-bottle's own state (${target})`,
    { hint: "start from the project's own directory, or move BOT_BOTTLE_HOME out of it" },
  );
}

function workspaceError(error: unknown, { source, target }: WorkspaceCopy): BottleError {
  const code = systemCode(error);
  if (code === "ENOSPC" || code === "EDQUOT") {
    return new HostError(
      "host.disk-full",
      `the disk is full: copying ${source} to ${target}: ${code}`,
      {
        hint: "free space there (bot-bottle cleanup removes what dead bottles left), or start from a smaller directory",
        cause: error,
      },
    );
  }
  return new LaunchError(
    "launch.workspace",
    `the workspace cannot be copied: ${messageOf(error)}`,
    {
      hint:
        code === "EACCES" || code === "EPERM"
          ? "make it readable for you, or start from a directory without it"
          : undefined,
      details: { source, target, code },
      cause: error,
    },
  );
}

/** One copy under way. */
class CopyJob {
  files = 0;
  bytes = 0;
  readonly #options: WorkspaceCopy;
  readonly #source: string;
  readonly #target: string;
  readonly #clock: Clock;
  readonly #large = new Set<Promise<void>>();
  /** Directories get their mode and times last, when nothing is written into them any more. */
  readonly #directories: { readonly target: Buffer; readonly stats: Stats }[] = [];
  readonly #special: string[] = [];
  readonly #vanished: string[] = [];
  #failure: { readonly error: unknown } | undefined;
  #reportAt: number;

  constructor(options: WorkspaceCopy) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#source = toBytePath(options.source);
    this.#target = toBytePath(options.target);
    this.#reportAt = this.#clock.monotonic() + PROGRESS_MS;
  }

  async run(): Promise<void> {
    const { signal, source } = this.#options;
    signal?.throwIfAborted();
    if (listDirectory(this.#target).length > 0) {
      throw new LaunchError(
        "launch.workspace",
        `the workspace cannot be copied: ${this.#options.target} is not empty`,
      );
    }
    this.#directories.push({
      target: toBuffer(this.#target),
      stats: lstatSync(realpathSync(source)),
    });
    try {
      await this.#copyAll();
    } finally {
      // None may still be writing when the caller tears down.
      await Promise.allSettled(this.#large);
    }
    if (this.#failure !== undefined) throw this.#failure.error;
    for (const { target, stats } of this.#directories.toReversed()) this.#finish(target, stats);
  }

  warnings(): string[] {
    return [
      ...summarize(this.#special, "sockets, pipes or devices were not copied"),
      ...summarize(this.#vanished, "vanished while the workspace was being copied"),
    ];
  }

  async #copyAll(): Promise<void> {
    const pause = timeSlices(this.#options.signal, this.#clock);
    const pending = [""];
    for (let at = pending.pop(); at !== undefined; at = pending.pop()) {
      for (const entry of listDirectory(`${this.#source}${at}`)) {
        const path = `${at}/${entry.name}`;
        if (this.#copyEntry(entry, path)) pending.push(path);
        this.#report();
        await pause();
        while (this.#large.size >= MAX_LARGE_FILES) await Promise.race(this.#large);
        if (this.#failure !== undefined) return;
      }
    }
    await Promise.all(this.#large);
    this.#options.signal?.throwIfAborted();
  }

  /** Copies one entry; true for a directory, whose entries are still to come. */
  #copyEntry(entry: Dirent, path: string): boolean {
    const source = toBuffer(`${this.#source}${path}`);
    const target = toBuffer(`${this.#target}${path}`);
    const stats = lstatSync(source, { throwIfNoEntry: false });
    if (stats === undefined) this.#vanished.push(path);
    else if (stats.isFile()) this.#copyFile(source, target, { stats, path });
    else if (stats.isSymbolicLink()) this.#copyLink(source, target, stats);
    else if (stats.isDirectory() && entry.isDirectory()) {
      mkdirSync(target, { mode: 0o700 });
      this.#directories.push({ target, stats });
      return true;
    } else this.#special.push(path);
    return false;
  }

  #copyFile(source: Buffer, target: Buffer, { stats, path }: { stats: Stats; path: string }): void {
    this.files += 1;
    this.bytes += stats.size;
    const finish = (): void => {
      dropSpecialBits(target, stats);
      this.#own(target);
      utimesSync(target, stats.atimeMs / 1000, stats.mtimeMs / 1000);
    };
    try {
      const copying = copyFileContent(source, target, stats);
      if (copying === undefined) finish();
      else this.#track(copying.then(finish), path);
    } catch (error) {
      this.#noteFailure(error, path);
    }
  }

  #track(copying: Promise<void>, path: string): void {
    const tracked = copying
      .catch((error: unknown) => this.#noteFailure(error, path))
      .finally(() => this.#large.delete(tracked));
    this.#large.add(tracked);
  }

  /** Editors and builds delete files while we walk; that is not a failure. */
  #noteFailure(error: unknown, path: string): void {
    const isGone =
      systemCode(error) === "ENOENT" &&
      lstatSync(toBuffer(`${this.#source}${path}`), { throwIfNoEntry: false }) === undefined;
    if (isGone) this.#vanished.push(path);
    else this.#failure ??= { error };
  }

  #copyLink(source: Buffer, target: Buffer, stats: Stats): void {
    symlinkSync(readlinkSync(source, "buffer"), target);
    this.#own(target);
    lutimesSync(target, stats.atimeMs / 1000, stats.mtimeMs / 1000);
  }

  #finish(target: Buffer, stats: Stats): void {
    chmodSync(target, stats.mode & 0o777);
    this.#own(target);
    utimesSync(target, stats.atimeMs / 1000, stats.mtimeMs / 1000);
  }

  #own(target: Buffer): void {
    const { owner } = this.#options;
    if (owner !== undefined) lchownSync(target, owner.uid, owner.gid);
  }

  #report(): void {
    const now = this.#clock.monotonic();
    if (now < this.#reportAt) return;
    this.#reportAt = now + PROGRESS_MS;
    this.#options.onProgress?.(`${this.files} files, ${Math.round(this.bytes / 1_048_576)} MiB`);
  }
}

function summarize(paths: readonly string[], what: string): string[] {
  if (paths.length === 0) return [];
  const named = paths.slice(0, MAX_NAMED).map((path) => showBytePath(path.slice(1)));
  const more = paths.length > MAX_NAMED ? ` and ${paths.length - MAX_NAMED} more` : "";
  return [`${what}: ${named.join(", ")}${more}`];
}
