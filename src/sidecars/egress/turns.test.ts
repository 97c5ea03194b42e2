// Long work and everything else: it takes turns, and what is short waits for nothing.
import { describe, expect, it } from "vitest";
import { type Steps, waitFor } from "../../policy/dlp/steps.ts";
import { settle } from "./turns.ts";

function* work(steps: number, onStep: () => void = () => undefined): Steps<number> {
  for (let step = 0; step < steps; step += 1) {
    onStep();
    yield;
  }
  return steps;
}

describe("long work", () => {
  it("is done at once where it is short", () => {
    expect(settle(work(2))).toBe(2);
  });

  it("lets the loop turn in between", async () => {
    let turns = 0;
    let isOver = false;
    const count = (): void => {
      turns += 1;
      if (!isOver) setImmediate(count);
    };
    setImmediate(count);
    expect(await settle(work(1000))).toBe(1000);
    isOver = true;
    expect(turns).toBeGreaterThan(300);
  });

  it("does as much in a turn as one, however many there are", async () => {
    let inTurn = 0;
    let most = 0;
    let isOver = false;
    const reset = (): void => {
      inTurn = 0;
      if (!isOver) setImmediate(reset);
    };
    const results = Array.from({ length: 20 }, () =>
      settle(
        work(100, () => {
          inTurn += 1;
          most = Math.max(most, inTurn);
        }),
      ),
    );
    inTurn = 0;
    most = 0;
    reset();
    expect(await Promise.all(results)).toEqual(Array(20).fill(100));
    isOver = true;
    expect(most).toBeLessThan(6);
  });

  it("does not keep the next from being done when it fails", async () => {
    const broken = settle(
      (function* fails(): Steps<number> {
        yield* work(20);
        throw new Error("broken");
      })(),
    );
    const fine = settle(work(40));
    await expect(broken).rejects.toThrow("broken");
    expect(await fine).toBe(40);
  });

  it("does not wait for what is longer", async () => {
    let isWanted = true;
    for (let works = 0; works < 20; works += 1) void settle(work(1e6), () => isWanted);
    expect(await settle(work(100))).toBe(100);
    isWanted = false;
  });

  it("ends where nobody waits for it any more, also while it waits itself", async () => {
    let done = 0;
    let isWanted = true;
    const count = (): void => void (done += 1);
    for (let works = 0; works < 40; works += 1) void settle(work(1e6, count), () => isWanted);
    await settle(work(30));
    isWanted = false;
    await settle(work(100));
    const before = done;
    await settle(work(100));
    expect(done).toBe(before);
  });

  it("begins what takes memory for a few at a time, who keep their places until they are over", async () => {
    let held = 0;
    let most = 0;
    function* heavy(): Steps<number> {
      yield* waitFor(async () => {
        held += 1;
        most = Math.max(most, held);
        await new Promise((resolve) => setImmediate(resolve));
      });
      yield* work(20);
      held -= 1;
      return 1;
    }
    const results = Array.from({ length: 40 }, () => settle(heavy()));
    // What takes none waits for none of them.
    expect(await settle(work(30))).toBe(30);
    expect(held).toBeGreaterThan(0);
    expect(await Promise.all(results)).toEqual(Array(40).fill(1));
    expect([held, most]).toEqual([0, 4]);
  });

  it("gives the place of what could not be done to the next", async () => {
    const broken = Array.from({ length: 8 }, () =>
      settle(waitFor(() => Promise.reject(new Error("broken")))),
    );
    const fine = settle(waitFor(() => Promise.resolve(1)));
    for (const it of broken) await expect(it).rejects.toThrow("broken");
    expect(await fine).toBe(1);
  });
});
