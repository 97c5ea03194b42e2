// The operator's login is handed on when it changed, and the operator is told once when it must be renewed.
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import type { Clock } from "../base/clock.ts";
import { LaunchError } from "../base/errors.ts";
import { parseHostPath } from "../base/ids.ts";
import { silentLogger } from "../base/log.ts";
import { Secret } from "../base/secret.ts";
import type { BottleEvent } from "./events.ts";
import type { ReadLogin } from "./host-login.ts";
import { LoginKeeper } from "./keep-login.ts";

const ref = {
  kind: "host-login",
  name: "claude login",
  provider: "claude",
  path: parseHostPath("/home/x/.claude/.credentials.json"),
} as const;

let now = 0;
let wake: (() => void) | undefined;
let slept: number[];
const clock: Clock = {
  now: () => now,
  monotonic: () => now,
  sleep: (ms, signal) =>
    new Promise((resolve, reject) => {
      slept.push(ms);
      wake = resolve;
      signal?.addEventListener("abort", () => reject(signal.reason));
    }),
};
let file: ReadLogin | LaunchError;
let events: BottleEvent[];
let renewed: string[];
let keeper: LoginKeeper;

const login = (value: string, expiresAtMs: number): ReadLogin => ({
  ok: true,
  token: new Secret("CLAUDE_LOGIN", value),
  login: { expiresAtMs, account: {} },
});
const states = (): string[] => events.map((it) => (it.kind === "credential" ? it.state : it.kind));
const pass = async (ms: number): Promise<void> => {
  now += ms;
  const before = slept.length;
  wake?.();
  await vi.waitFor(() => expect(slept.length).toBeGreaterThan(before));
};

beforeEach(async () => {
  now = 1_000_000;
  slept = [];
  events = [];
  renewed = [];
  file = login("first", now + 3_600_000);
  keeper = new LoginKeeper({
    slot: "EGRESS_TOKEN_0",
    ref,
    current: new Secret("EGRESS_TOKEN_0", "first"),
    bundle: {
      renew: (_name, secrets) => {
        renewed.push(...[...secrets].map(([slot, it]) => `${slot}=${it.reveal()}`));
        return Promise.resolve();
      },
    },
    events: { emit: (event) => events.push(event) },
    clock,
    log: silentLogger,
    read: () => (file instanceof LaunchError ? Promise.reject(file) : Promise.resolve(file)),
  });
  await vi.waitFor(() => expect(slept).toHaveLength(1));
});
afterEach(() => keeper[Symbol.dispose]());

it("is read again a minute before its end, and handed on when the operator's agent renewed it", async () => {
  expect(slept).toEqual([3_540_000]);
  file = login("second", now + 10_000_000);
  await pass(3_540_000);
  expect(renewed).toEqual(["EGRESS_TOKEN_0=second"]);
  expect(states()).toEqual(["renewed"]);
});

it("is told to the operator once when it ends, and taken when it is there again", async () => {
  await pass(3_600_001);
  await pass(15_000);
  expect(states()).toEqual(["expired"]);
  expect(slept.at(-1)).toBe(15_000);
  file = login("second", now + 3_600_000);
  await pass(15_000);
  expect(renewed).toEqual(["EGRESS_TOKEN_0=second"]);
  expect(states()).toEqual(["expired", "renewed"]);
});

it("is read at once when the API refuses it", async () => {
  file = login("second", now + 3_600_000);
  await keeper.refused();
  expect(renewed).toEqual(["EGRESS_TOKEN_0=second"]);
  await keeper.refused();
  await keeper.refused();
  expect(states()).toEqual(["renewed", "refused"]);
});

it("stays as it is while its file cannot be read", async () => {
  file = new LaunchError("launch.host-login", "the login of claude cannot be used: it is gone");
  await pass(3_540_000);
  expect(renewed).toEqual([]);
  await keeper.refused();
  expect(events).toMatchObject([{ kind: "credential", state: "refused" }]);
});
