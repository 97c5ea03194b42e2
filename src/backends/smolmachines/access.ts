/**
 * How smolvm is run. As an ordinary user: as it is. As root it never runs as root: it and its machines get the bottle's unused
 * uid, in a mount namespace of their own in which the few directories they need lie below one base, whatever stands above them
 * on the host. The mounts end with the last process. Pure.
 */
import { basename, dirname } from "node:path/posix";
import { type HostPath, parseHostPath } from "../../base/ids.ts";

/** Programs of the host by which uid and mounts are changed. */
export interface AccessPrograms {
  readonly sh: HostPath;
  readonly unshare: HostPath;
  readonly setpriv: HostPath;
}

/** Who runs smolvm, and where it sees what it needs. */
export type Access =
  | { readonly kind: "own"; readonly uid: number; readonly gid: number }
  | {
      readonly kind: "dropped";
      readonly uid: number;
      readonly gid: number;
      /** An empty directory outside of every private one. */
      readonly base: HostPath;
      readonly binds: readonly Bind[];
      readonly programs: AccessPrograms;
    };

/** A file or directory of the host and its name below the base. */
export interface Bind {
  readonly source: HostPath;
  readonly name: string;
  readonly isFile: boolean;
}

/** Makes the base private and fills it, then drops every right. `$1` base, `$2` uid, `$3` gid, then kind, source and name of each bind. */
const ENTER = [
  "set -eu",
  "base=$1 uid=$2 gid=$3 setpriv=$4; shift 4",
  'mount -t tmpfs -o mode=0711,size=64k,nosuid,nodev bot-bottle "$base"',
  'while [ "$1" != -- ]; do',
  '  if [ "$1" = f ]; then : >"$base/$3"; else mkdir "$base/$3"; fi',
  '  mount --bind "$2" "$base/$3"',
  "  shift 3",
  "done",
  "shift",
  'exec "$setpriv" --reuid="$uid" --regid="$gid" --clear-groups --inh-caps=-all --bounding-set=-all --no-new-privs -- "$@"',
].join("\n");

/** The argument list that runs `argv`, whose paths were made by {@link reach}. */
export function renderAccess(access: Access, argv: readonly string[]): readonly string[] {
  if (access.kind === "own") return argv;
  const { programs, base, uid, gid, binds } = access;
  return [
    ...[programs.unshare, "--mount", "--propagation", "private", "--"],
    ...[programs.sh, "-c", ENTER, "smolvm", base, String(uid), String(gid), programs.setpriv],
    ...binds.flatMap(({ source, name, isFile }) => [isFile ? "f" : "d", source, name]),
    "--",
    ...argv,
  ];
}

/** Where smolvm finds a path of the host: below the nearest bind, or where it is. */
export function reach(access: Access, path: HostPath): HostPath {
  if (access.kind === "own") return path;
  for (let above: string = path; ; above = dirname(above)) {
    const bind = access.binds.find(({ source }) => source === above);
    if (bind !== undefined)
      return parseHostPath(`${access.base}/${bind.name}${path.slice(above.length)}`);
    if (above === dirname(above)) return path;
  }
}

/** Binds for paths in order, each named for people; a path given twice is bound once. */
export function planBinds(
  paths: readonly { readonly source: HostPath | undefined; readonly isFile?: boolean }[],
): readonly Bind[] {
  const binds = new Map<string, Bind>();
  for (const { source, isFile = false } of paths) {
    if (source === undefined || binds.has(source)) continue;
    const name = `${binds.size}-${basename(source)
      .replace(/[^A-Za-z0-9._-]/g, "_")
      .slice(0, 24)}`;
    binds.set(source, { source, name, isFile });
  }
  return [...binds.values()];
}
