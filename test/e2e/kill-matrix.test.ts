// The owner of a bottle is ended in each way there is, at each step of its launch; afterwards cleanup must leave nothing on the
// machine but the audit log, and never the loss of work.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it, vi } from "vitest";
import { systemClock } from "../../src/base/clock.ts";
import { silentLogger } from "../../src/base/log.ts";
import {
  createExec,
  findLeftovers,
  findOrphanRuns,
  LAUNCH_STEPS,
  reap,
  removeOrphanRun,
} from "../../src/index.ts";
import { createFakeBackend } from "../../src/testing/index.ts";
import { makeWorld, type World } from "../support/bottle-world.ts";
import { AGENT, endBy, leftovers, runUntil, startPaused, WAYS } from "../support/kill-matrix.ts";
import { requires } from "../support/requires.ts";

const exec = createExec();
/** Processes of bottles: those of this test's own making are the difference to the ones seen before. */
function bottleProcesses(): Map<string, string> {
  const found = new Map<string, string>();
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      const command = readFileSync(join("/proc", pid, "cmdline"), "utf8").replaceAll("\0", " ");
      if (
        /bwrap|guest-init|bundle\.js|fake-guest|sleep 300/.test(command) &&
        !command.includes("vitest")
      )
        found.set(pid, command);
    } catch (error) {
      // Gone between the listing and the look.
      void error;
    }
  }
  return found;
}

function newProcesses(before: ReadonlyMap<string, string>): string[] {
  return [...bottleProcesses()]
    .filter(([pid]) => !before.has(pid))
    .map(([pid, command]) => `${pid} ${command}`);
}

function countMounts(): number {
  return readFileSync("/proc/self/mounts", "utf8").split("\n").length;
}

/** What cleanup does, with the fake backend's reaper for its records. */
async function cleanUp(world: World): Promise<void> {
  const ports = {
    exec,
    clock: systemClock,
    log: silentLogger,
    searchPath: world.env["PATH"] ?? "",
    env: world.env,
  };
  for (const item of await findLeftovers(world.home)) {
    await reap(item, world.home, ports, item.backend === "fake" ? createFakeBackend() : undefined);
  }
  for (const directory of await findOrphanRuns(world.home)) await removeOrphanRun(directory);
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
          const before = bottleProcesses();
          const mounts = countMounts();
          const child = await startPaused(world, platform.program, platform.argv(world, step));
          await runUntil(child, `AT ${step}`);
          await endBy(child, way);
          await cleanUp(world);
          await vi.waitFor(
            () => expect(newProcesses(before), `${way.join("+")} at ${step}`).toEqual([]),
            { timeout: 10_000 },
          );
          expect(leftovers(world), `${way.join("+")} at ${step}`).toEqual([]);
          expect(countMounts()).toBe(mounts);
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
      const before = bottleProcesses();
      const child = await startPaused(world, "cli-paused.ts", [
        "nowhere",
        "start",
        "worker",
        "--headless",
        "--cwd",
      ]);
      await runUntil(child, "RUNNING");
      await endBy(child, way);
      await cleanUp(world);
      await vi.waitFor(() => expect(newProcesses(before)).toEqual([]), { timeout: 10_000 });
      const [slug = ""] = readdirSync(world.home.state);
      const workspace = join(world.home.state, slug, "workspace");
      expect(readFileSync(join(workspace, "made.txt"), "utf8")).toBe("work\n");
      expect(readFileSync(join(workspace, "given.txt"), "utf8")).toBe("given\n");
      expect(readdirSync(world.home.run)).toEqual([]);
      expect(await findLeftovers(world.home)).toEqual([]);
    });
  }
});
