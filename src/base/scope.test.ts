import { describe, expect, it } from "vitest";
import { BugError, TimeoutError } from "./errors.ts";
import { describeTeardown, Scope, type TeardownFailure } from "./scope.ts";

const never = (): Promise<never> => new Promise(() => undefined);
const fail = (message: string) => (): never => {
  throw new Error(message);
};

/** A scope whose steps write down their labels. */
function recorded(scope: Scope, labels: readonly string[]): string[] {
  const released: string[] = [];
  for (const label of labels) scope.defer(label, () => released.push(label));
  return released;
}

describe("Scope", () => {
  it("releases in reverse order, one after another", async () => {
    const scope = new Scope();
    const order: string[] = [];
    scope.defer("first", () => order.push("first"));
    scope.use("second", {
      [Symbol.asyncDispose]: async () => {
        await Promise.resolve();
        order.push("second");
      },
    });
    const third = scope.use("third", { [Symbol.dispose]: () => void order.push("third"), id: 3 });
    expect(third.id).toBe(3);
    expect(scope.labels).toEqual(["first", "second", "third"]);
    expect(await scope.close()).toEqual([]);
    expect(order).toEqual(["third", "second", "first"]);
  });

  it("goes on after steps that throw or reject, and reports them in order", async () => {
    const told: TeardownFailure[] = [];
    const scope = new Scope({ onFailure: (failure) => told.push(failure) });
    const released = recorded(scope, ["bottom"]);
    scope.defer("rejects", () => Promise.reject(new Error("late")));
    scope.defer("throws", fail("early"));
    const failures = await scope.close();
    expect(describeTeardown(failures)).toEqual(["throws: early", "rejects: late"]);
    expect(told).toEqual(failures);
    expect(released).toEqual(["bottom"]);
  });

  it("goes on after a step that hangs", async () => {
    const scope = new Scope({ stepDeadlineMs: 10 });
    const released = recorded(scope, ["bottom"]);
    scope.defer("hangs", never);
    const [failure] = await scope.close();
    expect(failure?.error).toBeInstanceOf(TimeoutError);
    expect(failure?.error).toMatchObject({ message: "waited 10 ms for teardown of hangs" });
    expect(released).toEqual(["bottom"]);
  });

  it("goes on when the one who is told of failures fails", async () => {
    const scope = new Scope({ onFailure: fail("deaf") });
    const released = recorded(scope, ["bottom"]);
    scope.defer("throws", fail("early"));
    expect(await scope.close()).toHaveLength(1);
    expect(released).toEqual(["bottom"]);
  });

  it("closes once, for all who ask", async () => {
    const scope = new Scope();
    const released = recorded(scope, ["only"]);
    const first = scope.close();
    expect(scope.isClosed).toBe(true);
    expect(scope.close()).toBe(first);
    await first;
    await scope[Symbol.asyncDispose]();
    expect(released).toEqual(["only"]);
  });

  it("is closed for its own steps too", async () => {
    const scope = new Scope();
    let closings: Promise<unknown> | undefined;
    const released = recorded(scope, ["bottom"]);
    scope.defer("asks", () => {
      closings = scope.close();
      expect(scope.isClosed).toBe(true);
    });
    const closing = scope.close();
    await closing;
    expect(closings).toBe(closing);
    expect(released).toEqual(["bottom"]);
  });

  it("takes nothing after closing, and releases what came too late", async () => {
    const told: TeardownFailure[] = [];
    const scope = new Scope({ onFailure: (failure) => told.push(failure) });
    await scope.close();
    let isReleased = false;
    const late = { [Symbol.dispose]: () => void (isReleased = true) };
    expect(() => scope.use("late", late)).toThrow(BugError);
    expect(isReleased).toBe(true);
    expect(() => scope.defer("worse", fail("no"))).toThrow('"worse" cannot be added');
    await expect.poll(() => told.map((it) => it.label)).toEqual(["worse"]);
    expect(() => scope.move()).toThrow(BugError);
  });

  it("moves what it owns, with its options, and stays usable", async () => {
    const told: string[] = [];
    const scope = new Scope({ onFailure: ({ label }) => told.push(label) });
    const released = recorded(scope, ["a", "b"]);
    scope.defer("bad", fail("bad"));
    const next = scope.move();
    expect(scope.labels).toEqual([]);
    recorded(scope, ["c"]);
    await scope.close();
    expect(released).toEqual([]);
    await next.close();
    expect(released).toEqual(["b", "a"]);
    expect(told).toEqual(["bad"]);
  });

  it("never hides the first error", async () => {
    const run = async (): Promise<void> => {
      await using scope = new Scope();
      scope.defer("bad", fail("teardown"));
      throw new Error("boot failed");
    };
    await expect(run()).rejects.toThrow("boot failed");
  });
});
