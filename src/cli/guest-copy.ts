/**
 * The two ends of `cp`. A running bottle is copied through its owner; an ended one from its state directory, where everything was
 * written by the guest: no link in it is followed.
 */
import { lstat } from "node:fs/promises";
import { join, posix } from "node:path";
import { systemCode, UsageError } from "../base/errors.ts";
import {
  type GuestPath,
  type HostPath,
  parseBottleId,
  parseGuestPath,
  parseHostPath,
} from "../base/ids.ts";
import { LeftOut } from "../base/left-out.ts";
import { type BottlePaths, bottlePaths } from "../base/paths.ts";
import { readTree } from "../base/read-tree.ts";
import type { TreeItem } from "../base/tree.ts";
import { writeTree } from "../base/write-tree.ts";
import { GUEST_HOME, GUEST_WORKSPACE, type HomePaths, type ListedBottle } from "../index.ts";
import type { CommandIo } from "./command.ts";
import { connectTo } from "./connection.ts";
import { requireRunning } from "./slugs.ts";

/** What lies at a path of the guest. */
export type GuestKind = "directory" | "other" | "missing";

/** A bottle's files, wherever they are. Disposing it ends a copy that is under way. */
export interface GuestFiles extends AsyncDisposable {
  kindOf(path: GuestPath): Promise<GuestKind>;
  /** Items at a path. Rejects when there is nothing. */
  read(path: GuestPath): AsyncIterable<TreeItem>;
  /** Writes items at a path and returns how many. */
  write(path: GuestPath, items: AsyncIterable<TreeItem>): Promise<number>;
}

/** Opens the files of a bottle. Throws UsageError when neither an owner nor a state directory has them. */
export async function openGuestFiles(bottle: ListedBottle, io: CommandIo): Promise<GuestFiles> {
  if (bottle.status === "kept" || bottle.status === "dead") {
    return keptFiles(bottle.slug, io.env.home);
  }
  requireRunning(bottle);
  const connection = await connectTo(bottle.slug, io);
  return {
    kindOf: (path) => firstKind(connection.copyOut(path)),
    read: (path) => connection.copyOut(path),
    write: (path, items) => connection.copyIn(path, items),
    [Symbol.asyncDispose]: () => connection[Symbol.asyncDispose](),
  };
}

/** The guest is asked for the first entry only; what it says matters to nobody but itself. */
async function firstKind(items: AsyncIterable<TreeItem>): Promise<GuestKind> {
  try {
    for await (const { entry } of items) return entry.type === "directory" ? "directory" : "other";
    return "missing";
  } catch (error) {
    if (error instanceof Error && "details" in error && isAbsent(error.details)) return "missing";
    throw error;
  }
}

function isAbsent(details: unknown): boolean {
  const code =
    typeof details === "object" && details !== null && "code" in details ? details.code : "";
  return code === "ENOENT" || code === "ENOTDIR";
}

/** A place in the state directory: `within` is what the guest wrote, and nothing above it was. */
interface Place {
  readonly host: HostPath;
  readonly within: HostPath;
}

/** Where the host has what the guest has at a path; undefined for what lives in the guest alone. */
async function placeOf(path: GuestPath, paths: BottlePaths): Promise<Place | undefined> {
  const clean = posix.normalize(path).replace(/\/$/, "");
  const inWorkspace = below(clean, GUEST_WORKSPACE);
  if (inWorkspace !== undefined && (await isDirectory(paths.workspace))) {
    return { host: hostPath(paths.workspace, inWorkspace), within: paths.workspace };
  }
  const inHome = below(clean, GUEST_HOME);
  if (inHome === undefined) return undefined;
  return { host: hostPath(paths.guestHome, inHome), within: paths.guestHome };
}

/** The host's path of what the guest has at `path`, for a message; undefined for what lives in the guest alone. */
export async function hostPathOf(
  path: GuestPath,
  slug: string,
  home: HomePaths,
): Promise<HostPath | undefined> {
  return (await placeOf(path, bottlePaths(home, parseBottleId(slug), home.run)))?.host;
}

function keptFiles(slug: string, home: HomePaths): GuestFiles {
  const paths = bottlePaths(home, parseBottleId(slug), home.run);
  const locate = async (path: GuestPath): Promise<Place> => {
    const place = await placeOf(path, paths);
    if (place !== undefined) return place;
    throw new UsageError(
      "usage.path",
      `${path} is gone with the bottle: only ${GUEST_HOME} is kept`,
      {
        hint: `bot-bottle cp ${slug}:${GUEST_HOME} ./${slug}`,
      },
    );
  };
  return {
    kindOf: async (path) => kindOnHost(await locate(path)),
    read: (path) => readKept(path, locate, paths.workspace),
    write: async (path, items) => {
      const { host, within } = await locate(path);
      return writeTree(host, items, { within, makesParents: true });
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

/** The home is kept without the workspace, which lies beside it: together they are what the guest saw. */
async function* readKept(
  path: GuestPath,
  locate: (path: GuestPath) => Promise<Place>,
  workspace: HostPath,
): AsyncGenerator<TreeItem> {
  const { host, within } = await locate(path);
  const isWholeHome =
    posix.normalize(path).replace(/\/$/, "") === GUEST_HOME && (await isDirectory(workspace));
  const name = posix.basename(GUEST_WORKSPACE);
  const leftOut = new LeftOut();
  for await (const item of leftOut.hold(readTree(host, { within }))) {
    const isCovered = item.entry.path === name || item.entry.path.startsWith(`${name}/`);
    if (!isWholeHome || !isCovered) yield item;
  }
  if (isWholeHome) {
    const covering = leftOut.hold(readTree(workspace, { within: workspace }));
    for await (const { entry, content } of covering) {
      yield { entry: { ...entry, path: posix.join(name, entry.path).replace(/\/$/, "") }, content };
    }
  }
  leftOut.check();
}

/** The rest of a path below `top`, "" for `top` itself; undefined when it lies elsewhere. */
function below(path: string, top: string): string | undefined {
  if (path === top) return "";
  return path.startsWith(`${top}/`) ? path.slice(top.length + 1) : undefined;
}

function hostPath(top: HostPath, rest: string): HostPath {
  // A guest path has no "..", so the result stays below `top`.
  return parseHostPath(join(top, parseGuestPath(`/${rest}`)).replace(/\/$/, ""));
}

async function isDirectory(path: string): Promise<boolean> {
  return (await statOf(path))?.isDirectory() === true;
}

async function kindOnHost({ host, within }: Place): Promise<GuestKind> {
  return firstKindOnHost(readTree(host, { within }));
}

async function firstKindOnHost(items: AsyncIterable<TreeItem>): Promise<GuestKind> {
  try {
    for await (const { entry } of items) return entry.type === "directory" ? "directory" : "other";
    return "missing";
  } catch (error) {
    const code = systemCode(error);
    if (code === "ENOENT" || code === "ENOTDIR") return "missing";
    throw error;
  }
}

async function statOf(path: string): Promise<Awaited<ReturnType<typeof lstat>> | undefined> {
  try {
    return await lstat(path);
  } catch (error) {
    if (systemCode(error) === "ENOENT" || systemCode(error) === "ENOTDIR") return undefined;
    throw error;
  }
}
