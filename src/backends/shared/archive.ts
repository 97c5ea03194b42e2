/** Host-side ends of a copy. Trees that a guest can write are hostile: no link in them is followed, none is written through. */
import type { HostPath } from "../../base/ids.ts";
import { readTree } from "../../base/read-tree.ts";
import { writeTree } from "../../base/write-tree.ts";
import type { ArchiveItem } from "../contract.ts";

export interface HostTreeOptions {
  /**
   * A directory that a guest writes, such as its kept home, when `hostPath` lies in it: below it no component of `hostPath` is
   * followed either. Absent: the path itself is the operator's own.
   */
  readonly within?: HostPath | undefined;
}

export interface WriteHostTreeOptions extends HostTreeOptions {
  /** Makes missing parents of the target. */
  readonly makesParents?: boolean | undefined;
  readonly maxEntries?: number;
  readonly maxBytes?: number;
}

/** Items of a file, directory or link on the host. Rejects with a system error or UsageError `usage.path`. */
export function readHostTree(
  hostPath: HostPath,
  options: HostTreeOptions = {},
): AsyncIterable<ArchiveItem> {
  return readTree(hostPath, options);
}

/**
 * Writes items at `hostPath` and returns how many. Replaces plain files only, makes links as links and never goes through one.
 * Rejects with a system error or UsageError `usage.path`; what was written before stays.
 */
export function writeHostTree(
  hostPath: HostPath,
  items: AsyncIterable<ArchiveItem> | Iterable<ArchiveItem>,
  options: WriteHostTreeOptions = {},
): Promise<number> {
  return writeTree(hostPath, items, options);
}
