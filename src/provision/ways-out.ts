/**
 * What must not be given to a guest by a mount: a socket is a way out that read-only does not close, and whoever listens on
 * it (a container engine, an agent with keys) is no door of ours.
 */
import { readdirSync, readFileSync, realpathSync, type Stats, statSync } from "node:fs";
import { join } from "node:path";
import { systemCode } from "../base/errors.ts";

/** Entries of one mount that are looked at; sockets that are listened on are found in any number of files. */
const MAX_ENTRIES = 5_000;

/** Says of each host path what is wrong with it; empty when nothing. Sockets that are made later are not seen. */
export function findWaysOut(hostPaths: readonly string[]): readonly string[] {
  if (hostPaths.length === 0) return [];
  const listening = listListeningSockets();
  return hostPaths.flatMap((path) => faultsOf(path, listening));
}

function faultsOf(path: string, listening: readonly string[]): readonly string[] {
  const stats = statOr(path);
  if (stats === undefined) return [];
  if (!stats.isFile() && !stats.isDirectory()) return [`${path} is ${kindOf(stats)}`];
  if (stats.isFile()) return [];
  const real = realpathSync(path);
  const held = listening.find((socket) => socket.startsWith(real === "/" ? "/" : `${real}/`));
  const found = held === undefined ? findWayOut(real) : `the socket ${held}`;
  return found === undefined ? [] : [`${path} holds ${found}`];
}

function kindOf(stats: Stats): string {
  if (stats.isSocket()) return "a socket";
  return stats.isFIFO() ? "a named pipe" : "a device";
}

/** Real paths of the sockets of this network namespace. */
function listListeningSockets(): readonly string[] {
  const paths = readOr("/proc/net/unix")
    .split("\n")
    .map((line) => /\s(\/\S.*)$/.exec(line)?.[1])
    .filter((path) => path !== undefined);
  return [...new Set(paths)].flatMap((path) => realpathOr(path) ?? []);
}

/** The first socket or named pipe among the entries that are looked at, the nearest ones first. Read-only closes neither. */
function findWayOut(root: string): string | undefined {
  const directories = [root];
  let left = MAX_ENTRIES;
  for (
    let directory = directories.shift();
    directory !== undefined;
    directory = directories.shift()
  ) {
    for (const entry of entriesOf(directory)) {
      left -= 1;
      if (left < 0) return undefined;
      const path = join(directory, entry.name);
      if (entry.isSocket()) return `the socket ${path}`;
      if (entry.isFIFO()) return `the named pipe ${path}`;
      if (entry.isDirectory()) directories.push(path);
    }
  }
  return undefined;
}

function entriesOf(directory: string): ReturnType<typeof listEntries> {
  return orElse(() => listEntries(directory), []);
}

const listEntries = (directory: string) => readdirSync(directory, { withFileTypes: true });

const statOr = (path: string): Stats | undefined => orElse(() => statSync(path), undefined);
const realpathOr = (path: string): string | undefined =>
  orElse(() => realpathSync(path), undefined);
const readOr = (path: string): string => orElse(() => readFileSync(path, "utf8"), "");

/** What cannot be read cannot be given either: the guest's uid has no more rights than ours. */
function orElse<T>(read: () => T, otherwise: T): T {
  try {
    return read();
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    return otherwise;
  }
}
