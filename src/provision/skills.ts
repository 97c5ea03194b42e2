/** A skill of the operator as it goes into the guest: the host's directory, links in it kept as links. */
import { realpath, stat } from "node:fs/promises";
import { LaunchError, systemCode } from "../base/errors.ts";
import { readTree } from "../base/read-tree.ts";
import type { TreeItem } from "../base/tree.ts";

/** The skill's files for a copy into the guest. Rejects with LaunchError when its directory is gone or unreadable. */
export async function* skillItems(skill: {
  readonly name: string;
  readonly hostPath: string;
}): AsyncGenerator<TreeItem, void, undefined> {
  yield* readTree(await skillDirectory(skill));
}

/** A skill is often itself a link into a collection; that one link is the operator's word and is followed. */
async function skillDirectory(skill: {
  readonly name: string;
  readonly hostPath: string;
}): Promise<string> {
  try {
    const directory = await realpath(skill.hostPath);
    if ((await stat(directory)).isDirectory()) return directory;
  } catch (cause) {
    throw skillError(skill, systemCode(cause) ?? "unknown error", cause);
  }
  throw skillError(skill, "not a directory");
}

function skillError(
  { name, hostPath }: { readonly name: string; readonly hostPath: string },
  seen: string,
  cause?: unknown,
): LaunchError {
  return new LaunchError(
    "launch.provision",
    `skill "${name}" cannot be given: ${hostPath}: ${seen}`,
    {
      hint: "put it back, or remove it from the agent's skills",
      cause,
    },
  );
}
