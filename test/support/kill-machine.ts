// Ends the owner of a machine of smolvm's and judges what is left: of the bottle, of the machine, of the directories that only the
// record of a launch names.
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, vi } from "vitest";
import { parseRecord, RECORD_FILE } from "../../src/protocol/record.ts";
import { makeWorld, type World } from "./bottle-world.ts";
import { processesAround } from "./find-secrets.ts";
import { AGENT, cleanUp, endBy, leftovers, runUntil, startPaused, WAYS } from "./kill-matrix.ts";

/** Each way in which an owner is ended, and one that cannot even be told to end. */
export const MACHINE_WAYS: readonly (readonly NodeJS.Signals[])[] = [
  ...WAYS,
  ["SIGSTOP", "SIGKILL"],
];

/** A program of test/fixtures that stops at a place and says so. */
export interface PausedOwner {
  readonly program: string;
  readonly argv: (world: World, place: string) => readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** How long what was killed may take to be gone. */
  readonly timeoutMs: number;
}

/** Ends one owner there, cleans up, and expects that nothing is left. */
export async function endAt(
  owner: PausedOwner,
  place: string,
  way: readonly NodeJS.Signals[],
): Promise<void> {
  const when = `${way.join("+")} at ${place}`;
  const world = makeWorld(AGENT);
  const child = await startPaused(world, owner.program, owner.argv(world, place), owner.env);
  await runUntil(child, `AT ${place}`);
  const recorded = recordedPaths(world);
  await endBy(child, way);
  await cleanUp(world);
  await expectNoProcess(world, recorded, owner, when);
  expect(leftovers(world), when).toEqual([]);
  expect(recorded.filter(existsSync), when).toEqual([]);
}

/** Ends one owner while its agent works, cleans up, and expects the work and nothing else. */
export async function endAtWork(owner: PausedOwner, way: readonly NodeJS.Signals[]): Promise<void> {
  const when = `${way.join("+")} at work`;
  const world = makeWorld(AGENT);
  writeFileSync(join(world.project, "given.txt"), "given\n");
  const child = await startPaused(world, owner.program, owner.argv(world, "agent"), owner.env);
  await runUntil(child, "RUNNING");
  const recorded = recordedPaths(world);
  expect(recorded.filter(existsSync), when).not.toEqual([]);
  await endBy(child, way);
  await cleanUp(world);
  await expectNoProcess(world, recorded, owner, when);
  const [slug = ""] = readdirSync(world.home.state);
  const workspace = join(world.home.state, slug, "workspace");
  expect(readFileSync(join(workspace, "made.txt"), "utf8"), when).toBe("work\n");
  expect(readFileSync(join(workspace, "given.txt"), "utf8"), when).toBe("given\n");
  expect([...readdirSync(world.home.run), ...recorded.filter(existsSync)], when).toEqual([]);
}

/** What only the record knows: the state of smolvm, and where a machine of root's sees it. */
function recordedPaths(world: World): readonly string[] {
  if (!existsSync(world.home.state)) return [];
  return readdirSync(world.home.state).flatMap((slug) => {
    const file = join(world.home.state, slug, RECORD_FILE);
    if (!existsSync(file)) return [];
    const { objects } = parseRecord(readFileSync(file, "utf8"), file).guest;
    return ["smolvm-state", "smolvm-base"].flatMap((kind) => objects[kind] ?? []);
  });
}

async function expectNoProcess(
  world: World,
  recorded: readonly string[],
  { timeoutMs }: PausedOwner,
  when: string,
): Promise<void> {
  const around = (): string[] => processesAround(world.root, ...recorded);
  await vi.waitFor(() => expect(around(), when).toEqual([]), { timeout: timeoutMs });
}
