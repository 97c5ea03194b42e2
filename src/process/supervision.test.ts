import { EventEmitter } from "node:events";
import { describe, expect, it } from "vitest";
import type { Clock } from "../base/clock.ts";
import { coverInherited } from "./descriptors.ts";
import { isAlive, killIfSame, parseStartTime } from "./identity.ts";
import { createKillSet, installKillSet, type KillSet } from "./kill-set.ts";
import { quoteShell } from "./quote-shell.ts";
import { StderrTail } from "./stderr-tail.ts";
import { climbKillLadder, settlesWithin } from "./terminate.ts";

/** Time that passes at once, unless it is stopped first. */
function instantClock(): Clock & { readonly waits: number[] } {
  const waits: number[] = [];
  const sleep = (ms: number): Promise<void> => {
    waits.push(ms);
    return Promise.resolve();
  };
  return { waits, now: () => 0, monotonic: () => 0, sleep };
}

/** Time that never passes; counts who still waits. */
function frozenClock(): Clock & { waiting: number } {
  const clock = {
    waiting: 0,
    now: () => 0,
    monotonic: () => 0,
    sleep: (_ms: number, signal?: AbortSignal): Promise<void> =>
      new Promise((_resolve, reject) => {
        clock.waiting += 1;
        signal?.addEventListener("abort", () => {
          clock.waiting -= 1;
          reject(signal.reason);
        });
      }),
  };
  return clock;
}

describe("climbKillLadder", () => {
  const ladder = (deadly: NodeJS.Signals) => {
    const sent: string[] = [];
    const { promise: gone, resolve } = Promise.withResolvers<void>();
    const kill = (signal: NodeJS.Signals): boolean => {
      sent.push(signal);
      if (signal === deadly) resolve();
      return true;
    };
    return { sent, kill, gone };
  };

  it("forces only what does not go by itself, and leaves no timer", async () => {
    const clock = frozenClock();
    const polite = ladder("SIGTERM");
    await climbKillLadder(polite, 8000, clock);
    expect(polite.sent).toEqual(["SIGTERM"]);
    expect(clock.waiting).toBe(0);
  });

  it("waits the grace before it forces", async () => {
    const clock = instantClock();
    const stubborn = ladder("SIGKILL");
    await climbKillLadder(stubborn, 8000, clock);
    expect(stubborn.sent).toEqual(["SIGTERM", "SIGKILL"]);
    expect(clock.waits).toEqual([8000]);
  });
});

describe("settlesWithin", () => {
  it("tells whether it was in time", async () => {
    expect(await settlesWithin(Promise.resolve(), 5, frozenClock())).toBe(true);
    expect(await settlesWithin(new Promise(() => undefined), 5, instantClock())).toBe(false);
  });
});

describe("the kill set", () => {
  function counting(): KillSet & { count: number } {
    const set = { count: 0, add: () => undefined, remove: () => undefined, killAll: () => {} };
    set.killAll = () => void (set.count += 1);
    return set;
  }

  it("kills at exit while installed", () => {
    const source = new EventEmitter();
    const killSet = counting();
    const installed = installKillSet(killSet, source);
    source.emit("exit");
    installed[Symbol.dispose]();
    source.emit("exit");
    expect(killSet.count).toBe(1);
  });

  it("forgets who has exited and tolerates who is gone", () => {
    const killSet = createKillSet();
    killSet.add(process.pid, "process");
    killSet.remove(process.pid);
    // No system gives out such a pid.
    killSet.add(2 ** 30, "group");
    killSet.killAll();
    killSet.killAll();
  });
});

describe("parseStartTime", () => {
  const stat = (name: string, state = "S"): string =>
    `42 (${name}) ${state} 1 42 42 0 -1 4194304 96 0 0 0 0 0 0 0 20 0 1 0 987654 2703360 0 18446744073709551615\n`;

  it.for(["sleep", ") S 1 (", "a b", "x) Z 1 2 3", "\n) R"])("reads past the name %j", (name) => {
    expect(parseStartTime(stat(name))).toBe("987654");
  });

  it("takes a zombie for gone and rubbish for nothing", () => {
    expect(parseStartTime(stat("sh", "Z"))).toBeUndefined();
    expect(parseStartTime(stat("sh", "X"))).toBeUndefined();
    for (const text of ["", "42", "42 (x) S 1 2", "()"])
      expect(parseStartTime(text)).toBeUndefined();
  });
});

describe("a record's pid", () => {
  it("never means a group, everything, or init", () => {
    for (const pid of [0, -1, -2, 1.5, Number.NaN, 2 ** 53]) {
      expect(isAlive({ pid, startTime: "" })).toBe(false);
      expect(killIfSame({ pid, startTime: "1" }, "SIGTERM")).toBe(false);
    }
    expect(killIfSame({ pid: 1, startTime: "1" }, "SIGTERM")).toBe(false);
  });
});

describe("quoteShell", () => {
  it.for([
    ["", "''"],
    ["a b", "'a b'"],
    ["it's", "'it'\\''s'"],
    ['$(x) `y` "z" \\', "'$(x) `y` \"z\" \\'"],
    ["a\nb", "'a\nb'"],
    ["$&$1$$", "'$&$1$$'"],
  ] as const)("quotes %j", ([text, quoted]) => {
    expect(quoteShell(text)).toBe(quoted);
  });
});

describe("coverInherited", () => {
  it("covers what would leak and nothing that was asked for", () => {
    const covered = coverInherited(["ignore", "pipe", "pipe", 7, "ignore"], [3, 4, 6], 20);
    expect(covered).toEqual(["ignore", "pipe", "pipe", 7, 20, "ignore", 20]);
    expect(coverInherited(["ignore"], [], 20)).toEqual(["ignore"]);
  });
});

describe("StderrTail", () => {
  it("keeps characters whole that are cut between chunks", () => {
    const tail = new StderrTail("[x 1]", undefined);
    const bytes = Buffer.from("grün\nend");
    for (const byte of bytes) tail.push(Buffer.from([byte]));
    tail.end();
    expect(tail.lines).toEqual(["grün", "end"]);
  });
});
