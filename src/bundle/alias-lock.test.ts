import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import type { Clock } from "../base/clock.ts";
import { parseHostPath } from "../base/ids.ts";
import { readOwner } from "../process/identity.ts";
import { lockAliases } from "./alias-lock.ts";

const NAME = "loopback-aliases.lock";

function makeCache() {
  const cache = parseHostPath(mkdtempSync(join(tmpdir(), "alias-lock-")));
  onTestFinished(() => rmSync(cache, { recursive: true, force: true }));
  return cache;
}

/** A clock whose sleeps end at once. */
function makeClock(onSleep: () => void = () => undefined): Clock {
  let time = 0;
  const sleep = async (ms: number): Promise<void> => {
    time += ms;
    onSleep();
  };
  return { now: () => time, monotonic: () => time, sleep };
}

describe("the lock of the aliases", () => {
  it("is held by one, and gone when it is given back", async () => {
    const cache = makeCache();
    const first = await lockAliases(cache, makeClock(), undefined);
    await expect(lockAliases(cache, makeClock(), undefined)).rejects.toMatchObject({
      code: "launch.backend",
    });
    let tries = 0;
    const release = makeClock(() => {
      tries += 1;
      if (tries === 3) first[Symbol.dispose]();
    });
    const second = await lockAliases(cache, release, undefined);
    expect(tries).toBe(3);
    second[Symbol.dispose]();
    expect(readdirSync(cache)).toEqual([]);
  });

  it.each([
    ["a dead process", { pid: 2 ** 22 + 7, start_time: "1" }],
    ["another boot", { boot_id: "another" }],
  ])("of %s is broken", async (_whose, change) => {
    const cache = makeCache();
    writeFileSync(join(cache, NAME), JSON.stringify({ ...readOwner(), ...change }));
    using _lock = await lockAliases(cache, makeClock(), undefined);
    expect(readdirSync(cache)).toEqual([NAME]);
  });

  it("that is no lock of ours is broken, one of another pid namespace is not", async () => {
    const cache = makeCache();
    writeFileSync(join(cache, NAME), "nonsense");
    (await lockAliases(cache, makeClock(), undefined))[Symbol.dispose]();
    writeFileSync(join(cache, NAME), JSON.stringify({ ...readOwner(), pid_namespace: "pid:[1]" }));
    await expect(lockAliases(cache, makeClock(), undefined)).rejects.toThrow(/another launch/);
  });
});
