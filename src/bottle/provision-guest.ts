/** Puts the plan's files, prompt and skills into the guest's home, and notes what the agent was given. */
import { dirname, relative } from "node:path";
import type { ArchiveItem, Guest } from "../backends/contract.ts";
import { BottleError, LaunchError, messageOf } from "../base/errors.ts";
import type { ProvisionedFile } from "../providers/provider.ts";
import { skillItems } from "../provision/skills.ts";
import { snapshotTree, type TreeSnapshot } from "../provision/work-kept.ts";
import type { LaunchState } from "./launch.ts";
import { writeGiven } from "./settle.ts";

/** Provisions through guest-init, so that files belong to the guest's user on every backend. Throws LaunchError. */
export async function provisionGuest(
  state: LaunchState,
  guest: Guest,
  workspace: TreeSnapshot | undefined,
): Promise<void> {
  const { plan } = state;
  try {
    const files = fileItems(plan.guest.guestHome, plan.files);
    if (files.length > 0) await guest.copyIn(plan.guest.guestHome, files);
    for (const skill of plan.skills) await guest.copyIn(skill.guestPath, skillItems(skill));
    writeGiven(plan.paths, {
      workspace,
      home: await snapshotTree(plan.paths.guestHome, { ignoresDotFiles: true }),
    });
  } catch (error) {
    if (error instanceof BottleError) throw error;
    throw new LaunchError(
      "launch.provision",
      `the guest could not be prepared: ${messageOf(error)}`,
      { cause: error },
    );
  }
}

/** Files below `root` as a copy: each directory before what is in it. */
export function fileItems(root: string, files: readonly ProvisionedFile[]): ArchiveItem[] {
  const items = new Map<string, ArchiveItem>();
  for (const file of files) {
    const path = relative(root, file.path);
    for (const parent of parents(path)) items.set(parent, directoryItem(parent));
    const content = Buffer.from(file.content);
    items.set(path, {
      entry: { kind: "entry", type: "file", path, mode: file.mode, size: content.length },
      content: chunks(content),
    });
  }
  return [...items.values()];
}

function parents(path: string): string[] {
  const found: string[] = [];
  for (let parent = dirname(path); parent !== "."; parent = dirname(parent)) found.unshift(parent);
  return found;
}

function directoryItem(path: string): ArchiveItem {
  return { entry: { kind: "entry", type: "directory", path, mode: 0o755 }, content: undefined };
}

async function* chunks(content: Uint8Array): AsyncIterable<Uint8Array> {
  yield content;
}
