// The owner of a bottle in a machine is ended in each way there is, at each step of its launch and while the machine boots; afterwards
// cleanup must leave no machine, process, socket, mount or file, and never the loss of work. The machines are those of the fake
// smolvm; test/machines does the same with real ones.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, it } from "vitest";
import { LAUNCH_STEPS, type LaunchStep } from "../../src/index.ts";
import { makeFakeSmolvm } from "../support/fake-smolvm.ts";
import { endAt, endAtWork, MACHINE_WAYS, type PausedOwner } from "../support/kill-machine.ts";
import { requires } from "../support/requires.ts";
import { tempDir } from "../support/temp-dir.ts";

/** Where each way is tried: beside the machine's start, and when all is up. Elsewhere the two that differ most. */
const EVERY_WAY: ReadonlySet<LaunchStep> = new Set(["guest", "running"]);
const TWO_WAYS = [["SIGTERM"], ["SIGKILL"]] as const;
const NEEDS = { ...requires("linux", "bwrap", "userns"), timeout: 120_000 };
const root = tempDir("kill-smolvm-");

/** A start that takes its time, as a real one may: what is killed in the middle of it must not go on. */
const SLOW = 'case "$*" in *"machine start --name"*) sleep 30 ;; esac';

function ownerOn(smolvm: string): PausedOwner {
  return {
    program: "smolvm-paused.ts",
    argv: (world, place) => [place, world.home.home, world.project],
    env: { BOT_BOTTLE_SMOLVM: smolvm, BOT_BOTTLE_IMAGE: join(root, "rootfs") },
    timeoutMs: 10_000,
  };
}

describe("an owner of a machine that ends", NEEDS, () => {
  const quick = ownerOn(makeFakeSmolvm(join(root, "quick")));
  const slow = ownerOn(makeFakeSmolvm(join(root, "slow"), SLOW));
  beforeAll(() => {
    mkdirSync(join(root, "rootfs/bin"), { recursive: true });
    writeFileSync(join(root, "rootfs/bin/sh"), "");
  });

  for (const step of LAUNCH_STEPS) {
    it(`at step ${step} leaves nothing, however it ends`, async () => {
      for (const way of EVERY_WAY.has(step) ? MACHINE_WAYS : TWO_WAYS)
        await endAt(quick, step, way);
    });
  }

  it("while the machine boots leaves nothing, however it ends", async () => {
    for (const way of MACHINE_WAYS) await endAt(slow, "booting", way);
  });

  it("while its agent works loses no work, however it ends", async () => {
    for (const way of MACHINE_WAYS) await endAtWork(quick, way);
  });
});
