/** `cp`: copies files into or out of a bottle, running or kept. What is copied out belongs to the operator. */
import { lstat, realpath, stat } from "node:fs/promises";
import { basename, dirname, join, posix, resolve } from "node:path";
import { LaunchError, messageOf, systemCode, UsageError } from "../../base/errors.ts";
import { type GuestPath, parseGuestPath } from "../../base/ids.ts";
import { isLeftOut } from "../../base/left-out.ts";
import { readTree } from "../../base/read-tree.ts";
import { tap } from "../../base/tap.ts";
import type { TreeItem } from "../../base/tree.ts";
import { writeTree } from "../../base/write-tree.ts";
import { quoteShell } from "../../process/quote-shell.ts";
import type { Command, CommandIo, ParsedArgs } from "../command.ts";
import { isSet } from "../flags/read.ts";
import { type GuestFiles, hostPathOf, openGuestFiles } from "../guest-copy.ts";
import { findBottle } from "../slugs.ts";

/** `slug:/path`: everything before the first colon that is followed by a slash. */
const GUEST_SIDE = /^([a-z0-9][a-z0-9-]*):(\/.*)$/s;

/** The command `cp`. */
export const cpCommand: Command = {
  name: "cp",
  summary: "copy files into or out of a bottle",
  description:
    "Copy a file or directory. Exactly one side is slug:/path. A destination that is a directory is copied into; SRC/. copies what is in a directory. Links are copied as links and never followed in the guest. A kept bottle works like a running one, below /home/node.",
  args: [
    { name: "src", summary: "host path, or slug:/path", completes: "file" },
    { name: "dst", summary: "slug:/path, or host path", completes: "file" },
  ],
  flags: [
    { name: "json", summary: "print what was copied as JSON" },
    { name: "quiet", short: "q", summary: "say nothing on stderr" },
  ],
  examples: [
    {
      command: "bot-bottle cp claude-x1y2z:/home/node/workspace ./work",
      explanation: "bring the agent's work back",
    },
    {
      command: "bot-bottle cp notes.md claude-x1y2z:/home/node/workspace/",
      explanation: "give it one more file",
    },
  ],
  run: runCp,
};

async function runCp({ args, flags }: ParsedArgs, io: CommandIo): Promise<number> {
  const [src = "", dst = ""] = args;
  const [from, to] = [parseSide(src), parseSide(dst)];
  if ((from.slug === undefined) === (to.slug === undefined)) throw sidesError();
  const bottle = await findBottle(io.env.home, from.slug ?? to.slug ?? "", {
    prefersActive: true,
  });
  await using files = await openGuestFiles(bottle, io);
  const copy = from.slug === undefined ? copyIn : copyOut;
  const copied = copy(from.path, to.path, files, io);
  const done = await told(copied, {
    what: `${src} to ${dst}`,
    slug: bottle.slug,
    leftHint: () => leftHint(from, bottle.slug, io),
  });
  if (isSet(flags, "json")) io.output.json({ slug: bottle.slug, ...done });
  else
    io.output.note(
      `${done.entries} ${done.entries === 1 ? "entry" : "entries"} copied to ${done.target}`,
    );
  if (done.leading > 0) {
    const what = done.leading === 1 ? "1 copied link leads" : `${done.leading} copied links lead`;
    io.output.note(io.output.color.yellow(`${what} out of the copy: look before you follow it`));
  }
  return 0;
}

interface ToldOptions {
  readonly what: string;
  readonly slug: string;
  readonly leftHint: () => Promise<string>;
}

/** What the guest refuses is looked at there; its name is known here only. */
function named(error: unknown, slug: string): unknown {
  if (!(error instanceof LaunchError) || error.hint?.includes(" SLUG ") !== true) return error;
  if (error.code !== "launch.copy") return error;
  const hint = error.hint.replace(" SLUG ", ` ${slug} `);
  return new LaunchError(error.code, error.message, { hint, details: error.details, cause: error });
}

/** The system's refusals are about the paths that were named. */
async function told<T>(copy: Promise<T>, { what, slug, leftHint }: ToldOptions): Promise<T> {
  try {
    return await copy;
  } catch (error) {
    if (isLeftOut(error)) {
      throw new UsageError("usage.path", messageOf(error), {
        hint: await leftHint(),
        details: error.details,
        cause: error,
      });
    }
    const code = systemCode(error);
    if (code === undefined || !(code in REASONS)) throw named(error, slug);
    throw new UsageError("usage.path", `cannot copy ${what}: ${REASONS[code]}`, {
      hint: "check both paths",
      cause: error,
    });
  }
}

/** Where what was left out can be had. */
async function leftHint(from: Side, slug: string, io: CommandIo): Promise<string> {
  if (from.slug === undefined) return `rename it in ${from.path}, or give it as an archive`;
  const place = await hostPathOf(parseGuestPath(from.path), slug, io.env.home);
  return place === undefined
    ? "rename it in the bottle, or pack it there with tar"
    : `it lies on this host below ${place}`;
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: "there is no such file or directory",
  ENOTDIR: "a part of the path is not a directory",
  EISDIR: "a directory is in the way",
  EEXIST: "something is in the way",
  ELOOP: "a link is in the path, and links are not followed there",
  EACCES: "permission denied",
  EPERM: "permission denied",
  EROFS: "the file system is read-only",
  ENAMETOOLONG: "a name is too long",
};

interface Side {
  readonly slug: string | undefined;
  readonly path: string;
}

function parseSide(text: string): Side {
  const match = GUEST_SIDE.exec(text);
  return match === null
    ? { slug: undefined, path: text }
    : { slug: match[1], path: match[2] ?? "/" };
}

function sidesError(): UsageError {
  return new UsageError(
    "usage.path",
    "cp needs exactly one side in a bottle; slug:/path is expected there",
    {
      hint: "bot-bottle cp SLUG:/home/node/workspace ./work",
    },
  );
}

/** What was copied. */
interface Done {
  readonly entries: number;
  readonly target: string;
  /** Links whose target lies outside the copy. */
  readonly leading: number;
}

async function copyIn(src: string, dst: string, files: GuestFiles, io: CommandIo): Promise<Done> {
  const source = await hostSource(src);
  const wanted = guestSide(dst);
  const isInto = dst.endsWith("/") || (await files.kindOf(wanted)) === "directory";
  const isContent = isContentOf(src);
  const target =
    isInto && !isContent ? posix.join(wanted, basename(source)) : posix.normalize(wanted);
  const root = parseGuestPath(target.length > 1 ? target.replace(/\/$/, "") : target);
  const entries = await files.write(root, watched(readTree(source), io.signal, NOTHING));
  return { entries, target: root, leading: 0 };
}

const NOTHING = (): void => undefined;

/** What the operator names is followed where it is a link; nothing below it is. */
async function hostSource(path: string): Promise<string> {
  try {
    return await realpath(resolve(path));
  } catch (error) {
    throw new UsageError(
      "usage.path",
      `cannot copy ${path}: ${systemCode(error) ?? "it cannot be read"}`,
      {
        hint: "check the path",
        cause: error,
      },
    );
  }
}

async function copyOut(src: string, dst: string, files: GuestFiles, io: CommandIo): Promise<Done> {
  const source = guestSide(src);
  const name = posix.basename(posix.normalize(source));
  const target = await hostTarget(dst, isContentOf(src) || name === "" ? undefined : name);
  let leading = 0;
  const watch = ({ entry }: TreeItem): void => {
    if (entry.type === "symlink" && entry.path === "") throw linkError(src);
    if (entry.type === "symlink" && leadsOut(entry.path, entry.target)) leading += 1;
  };
  const root = plainPath(source);
  const entries = await writeTree(target, watched(files.read(root), io.signal, watch));
  return { entries, target, leading };
}

/** A path in the guest as it was named; one that leads up has no place of its own. */
function guestSide(path: string): GuestPath {
  if (path.split("/").includes(".."))
    throw new UsageError(
      "usage.path",
      `cannot copy: "${path}" has "..", a path without it is expected`,
    );
  return parseGuestPath(path);
}

function plainPath(path: GuestPath): GuestPath {
  const clean = posix.normalize(path);
  return parseGuestPath(clean.length > 1 ? clean.replace(/\/$/, "") : clean);
}

function isContentOf(path: string): boolean {
  return path.endsWith("/.") || path === ".";
}

/** Where the copy goes: into an existing directory under the source's name, else the path itself. */
async function hostTarget(dst: string, name: string | undefined): Promise<string> {
  const path = resolve(dst);
  await refuseLinks(path);
  const info = await kindOf(path);
  if (info === "directory") return name === undefined ? path : join(path, name);
  if (info === "missing" && dst.endsWith("/")) throw targetError(dst, "it does not exist");
  if ((await kindOf(dirname(path))) !== "directory")
    throw targetError(dst, "its directory does not exist");
  return path;
}

/**
 * An earlier copy may have brought a link to anywhere, and who names the destination again does not see it. Links in the root
 * directory are the system's own.
 */
async function refuseLinks(path: string): Promise<void> {
  for (let it = path; dirname(dirname(it)) !== dirname(it); it = dirname(it)) {
    if (!(await isLink(it))) continue;
    throw new UsageError("usage.path", `cannot copy to ${path}: ${it} is a symbolic link`, {
      hint: `look where it leads, and name that place instead: readlink -f ${quoteShell(it)}`,
    });
  }
}

async function isLink(path: string): Promise<boolean> {
  try {
    return (await lstat(path)).isSymbolicLink();
  } catch (error) {
    if (systemCode(error) === "ENOENT" || systemCode(error) === "ENOTDIR") return false;
    throw error;
  }
}

function linkError(src: string): UsageError {
  return new UsageError(
    "usage.path",
    `cannot copy ${src}: it is a symbolic link, which leads out of the copy`,
    {
      hint: "look where it leads with bot-bottle exec SLUG -- readlink, and name that place instead",
    },
  );
}

async function kindOf(path: string): Promise<"directory" | "other" | "missing"> {
  try {
    return (await stat(path)).isDirectory() ? "directory" : "other";
  } catch (error) {
    if (systemCode(error) === "ENOENT" || systemCode(error) === "ENOTDIR") return "missing";
    throw error;
  }
}

function targetError(path: string, why: string): UsageError {
  return new UsageError("usage.path", `cannot copy to ${path}: ${why}`, { hint: "make it first" });
}

/** Stops between two entries, or two pieces of one, when a signal came: half a file is then removed by the writer. */
async function* watched(
  items: AsyncIterable<TreeItem>,
  signal: AbortSignal,
  onItem: (item: TreeItem) => void,
): AsyncGenerator<TreeItem> {
  for await (const item of items) {
    signal.throwIfAborted();
    onItem(item);
    yield {
      entry: item.entry,
      content: item.content && tap(item.content, () => signal.throwIfAborted()),
    };
  }
}

function leadsOut(path: string, target: string): boolean {
  if (target.startsWith("/")) return true;
  const resolved = posix.normalize(posix.join(posix.dirname(path), target));
  return resolved === ".." || resolved.startsWith("../");
}
