import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Clock } from "./clock.ts";
import { systemClock } from "./clock.ts";
import { withDeadline } from "./deadline.ts";
import { TimeoutError } from "./errors.ts";

interface Deferred<T> {
  readonly promise: Promise<T>;
  resolve(value: T): void;
  reject(error: unknown): void;
}
const deferred = <T = string>(): Deferred<T> => Promise.withResolvers<T>();

/** A clock whose sleepers are woken by hand. */
class HandClock implements Clock {
  readonly sleepers = new Set<() => void>();
  now = (): number => 0;
  monotonic = (): number => 0;
  sleep(_ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const wake = (): void => {
        this.sleepers.delete(wake);
        resolve();
      };
      this.sleepers.add(wake);
      signal?.addEventListener("abort", () => {
        this.sleepers.delete(wake);
        reject(signal.reason);
      });
    });
  }
  expire(): void {
    for (const wake of this.sleepers) wake();
  }
}

const unhandled: unknown[] = [];
const onUnhandled = (reason: unknown): void => void unhandled.push(reason);
beforeAll(() => void process.on("unhandledRejection", onUnhandled));
afterAll(() => void process.off("unhandledRejection", onUnhandled));
/** Lets every pending reaction and the check for unhandled rejections run. */
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

const base = { what: "the ready frame", timeoutMs: 50 };

describe("withDeadline", () => {
  it("gives the result and stops its timer", async () => {
    const clock = new HandClock();
    expect(await withDeadline(Promise.resolve(7), { ...base, clock })).toBe(7);
    await settle();
    expect(clock.sleepers.size).toBe(0);
  });

  it("passes a failure on and stops its timer", async () => {
    const clock = new HandClock();
    const failing = withDeadline(Promise.reject(new Error("no")), { ...base, clock });
    await expect(failing).rejects.toThrow("no");
    await settle();
    expect(clock.sleepers.size).toBe(0);
    expect(unhandled).toEqual([]);
  });

  it("names what it waited for and the setting that helps", async () => {
    const clock = new HandClock();
    const work = withDeadline(deferred().promise, { ...base, clock, setting: "START_TIMEOUT" });
    const caught = work.catch((error: unknown) => error);
    clock.expire();
    expect(await caught).toBeInstanceOf(TimeoutError);
    expect(await caught).toMatchObject({
      message: "waited 50 ms for the ready frame",
      hint: "raise START_TIMEOUT",
    });
  });

  it("undoes a result that comes too late", async () => {
    const clock = new HandClock();
    const work = deferred();
    const undone: string[] = [];
    const waiting = withDeadline(work.promise, { ...base, clock, undo: (it) => undone.push(it) });
    clock.expire();
    await expect(waiting).rejects.toBeInstanceOf(TimeoutError);
    expect(undone).toEqual([]);
    work.resolve("late");
    await settle();
    expect(undone).toEqual(["late"]);
  });

  it("does not undo a result that came in time", async () => {
    const undone: unknown[] = [];
    await withDeadline(Promise.resolve(1), { ...base, undo: (it) => undone.push(it) });
    await settle();
    expect(undone).toEqual([]);
  });

  it("swallows a late failure, and a failure to undo", async () => {
    const clock = new HandClock();
    for (const undo of [
      () => Promise.reject(new Error("undo rejects")),
      (): never => {
        throw new Error("undo throws");
      },
    ]) {
      const [bad, late] = [deferred(), deferred()];
      const waits = [bad, late].map((it) => withDeadline(it.promise, { ...base, clock, undo }));
      const all = Promise.allSettled(waits);
      clock.expire();
      expect((await all).map((it) => it.status)).toEqual(["rejected", "rejected"]);
      bad.reject(new Error("too late to matter"));
      late.resolve("late");
      await settle();
    }
    expect(unhandled).toEqual([]);
  });

  it("stops at the caller's signal with its reason", async () => {
    const clock = new HandClock();
    const cancel = new AbortController();
    const work = deferred();
    const undone: string[] = [];
    const undo = (it: string): unknown => undone.push(it);
    const waiting = withDeadline(work.promise, { ...base, clock, signal: cancel.signal, undo });
    cancel.abort(new Error("enough"));
    await expect(waiting).rejects.toThrow("enough");
    work.resolve("late");
    await settle();
    expect(undone).toEqual(["late"]);
    expect(clock.sleepers.size).toBe(0);
  });

  it("undoes even a finished result when cancelled before it began", async () => {
    const undone: string[] = [];
    const waiting = withDeadline(Promise.resolve("done"), {
      ...base,
      signal: AbortSignal.abort(new Error("before")),
      undo: (it) => undone.push(it),
    });
    await expect(waiting).rejects.toThrow("before");
    await settle();
    expect(undone).toEqual(["done"]);
    expect(unhandled).toEqual([]);
  });

  it("leaves no listener on a signal that lives on", async () => {
    const { signal } = new AbortController();
    let listeners = 0;
    const add = signal.addEventListener.bind(signal);
    const remove = signal.removeEventListener.bind(signal);
    signal.addEventListener = (...args: Parameters<typeof add>) => {
      listeners += 1;
      add(...args);
    };
    signal.removeEventListener = (...args: Parameters<typeof remove>) => {
      listeners -= 1;
      remove(...args);
    };
    for (let round = 0; round < 20; round += 1) {
      await withDeadline(Promise.resolve(round), { ...base, signal });
    }
    expect(listeners).toBe(0);
  });
});

describe("systemClock.sleep", () => {
  it("rejects with the signal's reason, before and during the wait", async () => {
    const aborted = AbortSignal.abort(new Error("before"));
    await expect(systemClock.sleep(60_000, aborted)).rejects.toThrow("before");
    const cancel = new AbortController();
    const sleeping = systemClock.sleep(60_000, cancel.signal);
    cancel.abort(new Error("during"));
    await expect(sleeping).rejects.toThrow("during");
  });

  it("does not take a very long wait for none", async () => {
    const cancel = new AbortController();
    let isOver = false;
    const sleeping = systemClock.sleep(2 ** 40, cancel.signal).then(
      () => void (isOver = true),
      () => undefined,
    );
    await systemClock.sleep(20);
    expect(isOver).toBe(false);
    cancel.abort();
    await sleeping;
  });
});
