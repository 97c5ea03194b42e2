// Reaping by records that name what they must not: a record is text in a directory that others may have written to.
import { chownSync, existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { systemClock } from "../../src/base/clock.ts";
import { silentLogger } from "../../src/base/log.ts";
import { createExec, findLeftovers, reap } from "../../src/index.ts";
import { createFakeBackend } from "../../src/testing/index.ts";
import { makeWorld, type World } from "../support/bottle-world.ts";
import { requires } from "../support/requires.ts";

/** Reaps a dead bottle whose record says that this was its run directory. */
async function reapWith({ home }: World, run_dir: string): Promise<void> {
  const state = join(home.state, "dead-1");
  mkdirSync(state, { recursive: true });
  const owner = { pid: 999_999, start_time: "1", boot_id: "gone", pid_namespace: "x" };
  const record = { identity: "dead-1", backend: "fake", status: "running", owner, run_dir };
  writeFileSync(join(state, "metadata.json"), JSON.stringify(record));
  const log = silentLogger;
  const ports = { env: {}, log, clock: systemClock, exec: createExec({ log }), searchPath: "" };
  const [item] = await findLeftovers(home);
  if (item === undefined) throw new Error("the record was not found");
  await reap(item, home, ports, createFakeBackend());
  expect(existsSync(state)).toBe(false);
}

describe("a dead owner's record", () => {
  it.each(["..", "", "other/.."])("that names run/%s takes nothing else away", async (rest) => {
    const world = makeWorld();
    mkdirSync(join(world.home.run, "living"), { recursive: true });
    await reapWith(world, `${world.home.run}/${rest}`);
    expect(existsSync(join(world.home.run, "living"))).toBe(true);
    expect(existsSync(world.home.bottles)).toBe(true);
  });
});

describe("a short run directory", requires("root"), () => {
  it.each([
    ["goes", "ours", 0, false],
    ["stays", "another user's", 65_534, true],
  ] as const)("%s when it is %s", async (_what, _whose, uid, stays) => {
    const world = makeWorld();
    const directory = `/tmp/bot-bottle-${process.pid.toString(16).padStart(8, "0")}`;
    mkdirSync(directory);
    onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
    chownSync(directory, uid, uid);
    await reapWith(world, directory);
    expect(existsSync(directory)).toBe(stays);
  });
});
