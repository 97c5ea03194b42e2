// The owner of a bottle in a container is ended in each way there is, at each step of its launch; afterwards `cleanup` must leave
// no container, network, process, socket, mount or file, and never the loss of work.
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { createExec, LAUNCH_STEPS, type LaunchStep } from "../../src/index.ts";
import { makeWorld, type World } from "../support/bottle-world.ts";
import { imageEnv, testBase } from "../support/docker.ts";
import { docker } from "../support/docker-command.ts";
import { processesAround } from "../support/find-secrets.ts";
import { AGENT, endBy, leftovers, runUntil, startPaused, WAYS } from "../support/kill-matrix.ts";
import { requires } from "../support/requires.ts";

const exec = createExec();
const CLI = join(import.meta.dirname, "../../src/cli/main.ts");
/** Where each way is tried: beside the guest's start, and when all is up. Elsewhere the two that differ most. */
const EVERY_WAY: ReadonlySet<LaunchStep> = new Set(["guest", "running"]);
const TWO_WAYS = [["SIGTERM"], ["SIGKILL"]] as const;
/** From here on a bundle in a container makes a difference. */
const INTERNAL_STEPS = ["bundle", "guest", "isolation", "doors", "provision", "running"] as const;

/** No image is built for the guest; the bundle's is built once. */
function settings(world: World): Record<string, string> {
  const given = Object.entries({ ...imageEnv(), BOT_BOTTLE_IMAGE: testBase() });
  return {
    ...world.env,
    ...Object.fromEntries(
      given.flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
    ),
    BOT_BOTTLE_BACKEND: "docker",
    BOT_BOTTLE_HOME: world.home.home,
  };
}

interface Plan {
  readonly leftovers: readonly unknown[];
  readonly objects: readonly unknown[];
  readonly runs: readonly unknown[];
  readonly failures: readonly string[];
}

async function cleanUp(world: World): Promise<Plan> {
  const { stdout, stderr, exitCode } = await exec.run(
    [process.execPath, CLI, "cleanup", "--yes", "--json"],
    { env: settings(world), cwd: world.project },
  );
  expect(exitCode, stderr.toString()).toBe(0);
  return JSON.parse(stdout.toString()) as Plan;
}

/** Containers and networks that carry the home's label, in whatever state. */
function engineObjects(world: World): string[] {
  const file = join(world.home.cache, "home-id");
  if (!existsSync(file)) return [];
  const filter = ["--filter", `label=bot-bottle.home=${readFileSync(file, "utf8").trim()}`];
  const lists = [
    docker("ps", "--all", "--format", "container {{.Names}} {{.Status}}", ...filter),
    docker("network", "ls", "--format", "network {{.Name}}", ...filter),
  ];
  return lists.flatMap((text) => text.split("\n")).filter((line) => line !== "");
}

function mounts(world: World): string[] {
  const lines = readFileSync("/proc/self/mounts", "utf8").split("\n");
  return lines.filter((line) => line.includes(world.root));
}

async function expectNothing(world: World, when: string): Promise<void> {
  await cleanUp(world);
  await vi.waitFor(() => expect(processesAround(world.root), when).toEqual([]), {
    timeout: 10_000,
  });
  await vi.waitFor(() => expect(engineObjects(world), when).toEqual([]), 5000);
  expect([...leftovers(world), ...mounts(world)], when).toEqual([]);
}

const START = ["start", "worker", "--headless", "--cwd"] as const;

async function endAt(
  world: World,
  step: LaunchStep,
  way: readonly NodeJS.Signals[],
): Promise<void> {
  const child = await startPaused(world, "cli-paused.ts", [step, ...START], settings(world));
  await runUntil(child, `AT ${step}`);
  await endBy(child, way);
  await expectNothing(world, `${way.join("+")} at ${step}`);
}

/** One home for many ends: what was probed once need not be probed again. */
function sharedWorld(bottle: string): () => World {
  const ends: (() => void)[] = [];
  let world: World | undefined;
  beforeAll(() => {
    world = makeWorld(bottle, (remove) => void ends.push(remove));
  });
  afterAll(() => {
    for (const end of ends) end();
  });
  return () => {
    if (world === undefined) throw new Error("the world is made before the tests");
    return world;
  };
}

describe("an owner on docker that ends", requires("docker"), () => {
  const world = sharedWorld(AGENT);
  for (const step of LAUNCH_STEPS) {
    it(`at step ${step} leaves nothing, however it ends`, { timeout: 120_000 }, async () => {
      for (const way of EVERY_WAY.has(step) ? WAYS : TWO_WAYS) await endAt(world(), step, way);
      expect(await cleanUp(world())).toMatchObject({ leftovers: [], objects: [], runs: [] });
    });
  }
});

describe("an owner on docker with an internal network that ends", requires("docker"), () => {
  const world = sharedWorld(`attachment: internal\n${AGENT}`);
  for (const step of INTERNAL_STEPS) {
    it(`at step ${step} leaves nothing`, { timeout: 120_000 }, async () => {
      await endAt(world(), step, ["SIGKILL"]);
    });
  }

  it("at step running leaves nothing when it is asked to end", { timeout: 120_000 }, async () => {
    await endAt(world(), "running", ["SIGTERM"]);
  });
});

describe("an owner on docker that is ended while its agent works", requires("docker"), () => {
  const bottles = { sockets: AGENT, internal: `attachment: internal\n${AGENT}` } as const;
  for (const [attachment, ways] of [
    ["sockets", [["SIGINT", "SIGINT"], ["SIGTERM"], ["SIGHUP"], ["SIGKILL"]]],
    ["internal", [["SIGKILL"]]],
  ] as const) {
    it(`loses no work with ${attachment}`, { timeout: 120_000 }, async () => {
      for (const way of ways) {
        const world = makeWorld(bottles[attachment]);
        writeFileSync(join(world.project, "given.txt"), "given\n");
        const env = settings(world);
        const child = await startPaused(world, "cli-paused.ts", ["nowhere", ...START], env);
        await runUntil(child, "RUNNING");
        await endBy(child, way);
        const plan = await cleanUp(world);
        expect(plan.failures).toEqual([]);
        await vi.waitFor(() => expect(processesAround(world.root)).toEqual([]), {
          timeout: 10_000,
        });
        await vi.waitFor(() => expect(engineObjects(world)).toEqual([]), 5000);
        const [slug = ""] = readdirSync(world.home.state);
        const workspace = join(world.home.state, slug, "workspace");
        expect(readFileSync(join(workspace, "made.txt"), "utf8")).toBe("work\n");
        expect(readFileSync(join(workspace, "given.txt"), "utf8")).toBe("given\n");
        expect(readdirSync(world.home.run)).toEqual([]);
      }
    });
  }
});
