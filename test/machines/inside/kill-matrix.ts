// The owner of a bottle in a machine is ended at each step of its launch, while the machine boots and while the agent works; runs
// inside of the emulated host, with the whole CLI and the real bundle. The other ways to end it at the other steps are tried with the
// fake smolvm.
import { readdirSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { LAUNCH_STEPS } from "../../../src/bottle/steps.ts";
import { endAt, endAtWork, type PausedOwner } from "../../support/kill-machine.ts";

const GONE_MS = 60_000;
/** The whole CLI; at work it stops nowhere. */
const owner: PausedOwner = {
  program: "cli-paused.ts",
  argv: (_world, place) => [place, "start", "worker", "--headless", "--cwd"],
  env: { BOT_BOTTLE_BACKEND: "smolmachines" },
  timeoutMs: GONE_MS,
};
/** Tells when the machine boots, which the CLI tells people only. */
const booting: PausedOwner = {
  program: "smolvm-paused.ts",
  argv: (world, place) => [place, world.home.home, world.project],
  timeoutMs: GONE_MS,
};

describe("an owner of a real machine", () => {
  for (const step of LAUNCH_STEPS)
    it(`killed at step ${step} leaves nothing`, () => endAt(owner, step, ["SIGKILL"]));

  for (const way of [["SIGKILL"], ["SIGINT", "SIGINT"]] as const)
    it(`ended by ${way.join("+")} while the machine boots leaves nothing`, () =>
      endAt(booting, "booting", way));

  it("asked to end at step running leaves nothing", () => endAt(owner, "running", ["SIGTERM"]));

  for (const way of [["SIGHUP"], ["SIGKILL"], ["SIGSTOP", "SIGKILL"]] as const)
    it(`ended by ${way.join("+")} while its agent works loses no work`, () =>
      endAtWork(owner, way));

  it("leaves no directory of a machine", () => {
    const left = readdirSync("/tmp").filter((it) => /^bot-bottle-(?:vm|seen)-/.test(it));
    expect(left).toEqual([]);
  });
});
