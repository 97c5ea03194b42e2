import { describe, expect, it } from "vitest";
import { silentLogger } from "../base/log.ts";
import type { Daemon, DaemonContext } from "../sidecars/descriptor.ts";
import { type DaemonOrder, DaemonSet, selectDaemons } from "./daemons.ts";
import { createRestartBudget } from "./restart-budget.ts";

const order = (name: DaemonOrder["name"], more: Partial<DaemonOrder> = {}): DaemonOrder => ({
  name,
  config: { level: 1 },
  secrets: {},
  door: `/doors/${name}`,
  ...more,
});

/** A daemon that notes what is done to it. */
function daemon(
  name: DaemonOrder["name"],
  notes: string[],
  more: Partial<Daemon<unknown>> = {},
): Daemon<unknown> {
  return {
    name,
    parseConfig: (value) => {
      if (value === "bad") throw new Error("bad configuration");
      return value;
    },
    start: (context: DaemonContext<unknown>) => {
      notes.push(`start ${name} ${[...context.secrets.keys()].join()}`);
      return Promise.resolve();
    },
    health: () => Promise.resolve({ isHealthy: true, detail: "" }),
    reload: (next) => {
      notes.push(`reload ${name} ${JSON.stringify(next)}`);
      return Promise.resolve({ ok: true });
    },
    stop: () => {
      notes.push(`stop ${name}`);
      return Promise.resolve();
    },
    ...more,
  };
}

const setOf = (notes: string[], more: Partial<Daemon<unknown>> = {}): DaemonSet =>
  new DaemonSet({
    loaders: {
      egress: () => Promise.resolve(daemon("egress", notes, more)),
      supervise: () => Promise.resolve(daemon("supervise", notes)),
    },
    audit: { append: () => undefined },
    signal: new AbortController().signal,
    onCredentialRefused: () => undefined,
    logFor: () => silentLogger,
  });

describe("selecting daemons", () => {
  const configured = [order("egress"), order("supervise")];
  it.each([
    [undefined, ["egress", "supervise"]],
    ["", []],
    [" , ", []],
    ["supervise", ["supervise"]],
    [" supervise , egress ", ["egress", "supervise"]],
  ])("reads %j", (selection, names) => {
    expect(selectDaemons(configured, selection).map((it) => it.name)).toEqual(names);
  });

  it.each(["nonsense", "egress,git-gate"])("refuses %j", (selection) => {
    expect(() => selectDaemons(configured, selection)).toThrow(/BOT_BOTTLE_SIDECAR_DAEMONS/);
  });
});

describe("a set of daemons", () => {
  it("starts egress first and gives each its own secrets only", async () => {
    const notes: string[] = [];
    const set = setOf(notes);
    await set.start([
      order("supervise", { secrets: { S: "1" } }),
      order("egress", { secrets: { E: "2" } }),
    ]);
    await set.stop(10);
    expect(notes).toEqual(["start egress E", "start supervise S", "stop egress", "stop supervise"]);
  });

  it("fails as a whole when one fails, is unknown or comes twice", async () => {
    const failing = setOf([], { start: () => Promise.reject(new Error("no door")) });
    await expect(failing.start([order("egress")])).rejects.toThrow("no door");
    await expect(setOf([]).start([order("git-gate")])).rejects.toThrow(/no such daemon/);
    await expect(setOf([]).start([order("egress"), order("egress")])).rejects.toThrow(/twice/);
  });

  it("keeps the old configuration when a new one is refused", async () => {
    const notes: string[] = [];
    const set = setOf(notes);
    await set.start([order("egress")]);
    expect(await set.reload("egress", "bad")).toEqual({ ok: false, message: "bad configuration" });
    expect(await set.reload("supervise", {})).toMatchObject({ ok: false });
    expect(await set.reload("egress", { level: 2 })).toEqual({ ok: true });
    await set.reapply();
    expect(notes.slice(1)).toEqual(['reload egress {"level":2}', 'reload egress {"level":2}']);
  });
});

describe("the restart budget", () => {
  it("allows three in a minute, again and again", () => {
    let now = 0;
    const mayRestart = createRestartBudget({ monotonic: () => now });
    expect([mayRestart(), mayRestart(), mayRestart(), mayRestart()]).toEqual([
      true,
      true,
      true,
      false,
    ]);
    now = 59_999;
    expect(mayRestart()).toBe(false);
    now = 60_000;
    expect(mayRestart()).toBe(true);
  });
});
