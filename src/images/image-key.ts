/** The content key of an image: the same files, arguments and names of files give the same key, whatever their times and owners. Pure. */
import { createHash } from "node:crypto";
import type { BuildPlan, ContextEntry } from "./contract.ts";

/** Part of every key: to be raised when what a build does with the same input changes. */
const KEY_VERSION = 1;

/** 40 hexadecimal digits for what will be built. */
export function imageKey(
  build: Pick<BuildPlan, "dockerfile" | "args">,
  entries: readonly ContextEntry[],
): string {
  const args = Object.entries(build.args).sort(byText);
  const content = entries.map((entry) => [entry.path, ...described(entry)]).sort(byText);
  const text = JSON.stringify([KEY_VERSION, build.dockerfile, args, content]);
  return createHash("sha256").update(text).digest("hex").slice(0, 40);
}

function described(entry: ContextEntry): readonly string[] {
  switch (entry.kind) {
    case "directory":
      return ["directory", entry.mode.toString(8)];
    case "link":
      return ["link", entry.target];
    case "file":
      return ["file", entry.mode.toString(8), entry.digest];
  }
}

function byText(one: readonly string[], other: readonly string[]): number {
  const [a = ""] = one;
  const [b = ""] = other;
  return a < b ? -1 : a > b ? 1 : 0;
}
