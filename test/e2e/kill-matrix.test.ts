// The owner of a bottle is ended in each way there is, at each step of its launch; afterwards cleanup must leave nothing on the
// machine but the audit log, and never the loss of work.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it, vi } from "vitest";
import { findLeftovers, LAUNCH_STEPS } from "../../src/index.ts";
import { createFakeBackend } from "../../src/testing/index.ts";
import { makeWorld, type World } from "../support/bottle-world.ts";
import { processesAround } from "../support/find-secrets.ts";
import {
  AGENT,
  cleanUp,
  endBy,
  leftovers,
  runUntil,
  startPaused,
  WAYS,
} from "../support/kill-matrix.ts";
import { requires } from "../support/requires.ts";

const fake = createFakeBackend();
/** Other suites may mount what they like: ours name the world. */
function mountsOf(world: World): string[] {
  return readFileSync("/proc/self/mounts", "utf8")
    .split("\n")
    .filter((line) => line.includes(world.root));
}

const PLATFORMS = [
  {
    name: "fake",
    program: "fake-paused.ts",
    needs: {},
    argv: (world: World, step: string) => [step, world.home.home, world.project],
  },
  {
    name: "bubblewrap",
    program: "cli-paused.ts",
    needs: requires("bwrap", "userns"),
    argv: (_world: World, step: string) => [step, "start", "worker", "--headless", "--cwd"],
  },
];

for (const platform of PLATFORMS) {
  describe(`an owner on ${platform.name} that ends`, platform.needs, () => {
    for (const step of LAUNCH_STEPS) {
      it(`at step ${step} leaves nothing, however it ends`, { timeout: 60_000 }, async () => {
        for (const way of WAYS) {
          const world = makeWorld(AGENT);
          const child = await startPaused(world, platform.program, platform.argv(world, step));
          await runUntil(child, `AT ${step}`);
          expect(processesAround(world.root)).not.toEqual([]);
          await endBy(child, way);
          await cleanUp(world, fake);
          await vi.waitFor(
            () => expect(processesAround(world.root), `${way.join("+")} at ${step}`).toEqual([]),
            { timeout: 10_000 },
          );
          expect(leftovers(world), `${way.join("+")} at ${step}`).toEqual([]);
          expect(mountsOf(world)).toEqual([]);
        }
      });
    }
  });
}

describe("an owner that is ended while its agent works", requires("bwrap", "userns"), () => {
  for (const way of [["SIGINT", "SIGINT"], ["SIGTERM"], ["SIGHUP"], ["SIGKILL"]] as const) {
    it(`by ${way.join(" twice, ")} loses no work`, { timeout: 60_000 }, async () => {
      const world = makeWorld(AGENT);
      writeFileSync(join(world.project, "given.txt"), "given\n");
      const child = await startPaused(world, "cli-paused.ts", [
        "nowhere",
        "start",
        "worker",
        "--headless",
        "--cwd",
      ]);
      await runUntil(child, "RUNNING");
      await endBy(child, way);
      await cleanUp(world, fake);
      await vi.waitFor(() => expect(processesAround(world.root)).toEqual([]), { timeout: 10_000 });
      const [slug = ""] = readdirSync(world.home.state);
      const workspace = join(world.home.state, slug, "workspace");
      expect(readFileSync(join(workspace, "made.txt"), "utf8")).toBe("work\n");
      expect(readFileSync(join(workspace, "given.txt"), "utf8")).toBe("given\n");
      expect(readdirSync(world.home.run)).toEqual([]);
      expect(await findLeftovers(world.home)).toEqual([]);
    });
  }
});
