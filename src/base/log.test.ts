import { describe, expect, it } from "vitest";
import type { Clock } from "./clock.ts";
import { HostError } from "./errors.ts";
import { createLogger, ignore, type Logger, silentLogger } from "./log.ts";

const clock: Clock = { now: () => 1000, monotonic: () => 0, sleep: () => Promise.resolve() };

function recorder(): { log: Logger; lines: string[] } {
  const lines: string[] = [];
  return { log: createLogger((line) => lines.push(line), { bottle: "b" }, clock), lines };
}

describe("createLogger", () => {
  it("writes one JSON line with pino's names", () => {
    const { log, lines } = recorder();
    log.child({ part: "egress" }).warn("two\nlines", { host: "example.test" });
    expect(lines).toEqual([
      '{"level":40,"time":1000,"bottle":"b","part":"egress","host":"example.test","msg":"two\\nlines"}\n',
    ]);
  });

  it("gives each level its number", () => {
    const { log, lines } = recorder();
    for (const level of ["debug", "info", "warn", "error"] as const) log[level]("x");
    expect(lines.map((line) => JSON.parse(line).level)).toEqual([20, 30, 40, 50]);
  });

  it("does not let a field pass for the level, the time or the message", () => {
    const { log, lines } = recorder();
    log.info("true", { level: 50, time: 0, msg: "false" });
    expect(JSON.parse(lines[0] ?? "")).toEqual({ level: 30, time: 1000, bottle: "b", msg: "true" });
  });

  it("never throws for what it is given", () => {
    const { log, lines } = recorder();
    const circle: Record<string, unknown> = {};
    circle["self"] = circle;
    log.error("circle", circle);
    log.error("number", { big: 10n });
    log.error("error", { error: new HostError("host.disk-full", "full") });
    log.error("trap", {
      trap: {
        toJSON: () => {
          throw new Error("no");
        },
      },
    });
    const parsed = lines.map((line) => JSON.parse(line));
    expect(parsed[0]).toMatchObject({ msg: "circle", level: 50, unloggable: expect.any(String) });
    expect(parsed[1]).toMatchObject({ big: "10" });
    expect(parsed[3]).toMatchObject({ msg: "trap", unloggable: "no" });
    expect(parsed[2].error).toEqual({ name: "HostError", message: "full", code: "host.disk-full" });
  });
});

describe("ignore", () => {
  it("logs the failure with the reason why it does not matter", async () => {
    const { log, lines } = recorder();
    await ignore(Promise.reject(new Error("gone")), "it was to be removed anyway", log);
    expect(JSON.parse(lines[0] ?? "")).toMatchObject({
      level: 20,
      why: "it was to be removed anyway",
      error: "gone",
    });
    await ignore(Promise.reject(new Error("gone")), "nobody listens");
    silentLogger.child({ a: 1 }).error("dropped");
  });
});
