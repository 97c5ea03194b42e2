import { describe, expect, it } from "vitest";
import type { Clock } from "../../../base/clock.ts";
import { silentLogger } from "../../../base/log.ts";
import type { TerminalSize } from "../../shared/terminal-size.ts";
import { FIRST_SYNC_MS, ResizeBridge } from "./resize-bridge.ts";

/** Lets everything run that waits for nothing but its turn. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function makeWorld() {
  const first = Promise.withResolvers<void>();
  const waits: number[] = [];
  const clock: Clock = {
    now: () => 0,
    monotonic: () => 0,
    sleep: (ms, signal) => {
      waits.push(ms);
      signal?.addEventListener("abort", () => first.reject(new Error("stopped")), { once: true });
      return first.promise;
    },
  };
  const told: TerminalSize[] = [];
  let size = { rows: 24, columns: 80 };
  let change = (): void => undefined;
  let answer = Promise.withResolvers<void>();
  const bridge = new ResizeBridge({
    readSize: () => size,
    onChange: (listener) => {
      change = listener;
      return () => (change = () => undefined);
    },
    tell: (it) => {
      told.push(it);
      answer = Promise.withResolvers();
      return answer.promise;
    },
    clock,
    log: silentLogger,
  });
  return {
    bridge,
    told,
    waits,
    begin: () => first.resolve(),
    resize: (columns: number) => {
      size = { rows: 24, columns };
      change();
    },
    answer: () => answer.resolve(),
    fail: () => answer.reject(new Error("137")),
  };
}

describe("the size of the operator's terminal", () => {
  it("is told for the first time a while after the start", async () => {
    const world = makeWorld();
    world.resize(100);
    await turn();
    expect(world.told).toEqual([]);
    expect(world.waits).toEqual([FIRST_SYNC_MS]);
    world.begin();
    await turn();
    expect(world.told).toEqual([{ rows: 24, columns: 100 }]);
  });

  it("is never told twice at once, and the last change counts", async () => {
    const world = makeWorld();
    world.begin();
    await turn();
    for (const columns of [90, 91, 92]) world.resize(columns);
    await turn();
    expect(world.told).toHaveLength(1);
    world.answer();
    await turn();
    expect(world.told.at(-1)).toEqual({ rows: 24, columns: 92 });
    expect(world.told).toHaveLength(2);
  });

  it("is told again after a failure, and not after the end", async () => {
    const world = makeWorld();
    world.begin();
    await turn();
    world.fail();
    await turn();
    world.resize(70);
    await turn();
    expect(world.told).toHaveLength(2);
    world.answer();
    world.bridge[Symbol.dispose]();
    world.resize(60);
    await turn();
    expect(world.told).toHaveLength(2);
  });

  it("is not told at all when the session ends before", async () => {
    const world = makeWorld();
    world.bridge[Symbol.dispose]();
    world.begin();
    await turn();
    expect(world.told).toEqual([]);
  });
});
