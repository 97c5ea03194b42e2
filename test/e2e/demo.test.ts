// The demo as a newcomer runs it, from the built files: the scripted agent and the real ones. What it claims holds, a wrong
// credential makes the real agents fail, and nothing of it is left.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type Ended, ended, runCli, startCli } from "../support/built-cli.ts";
import { processesAround } from "../support/find-secrets.ts";
import { requires } from "../support/requires.ts";

const MINUTES = 60_000;
const ESCAPES = /\x1b/;

interface Result {
  readonly status: number;
  readonly claims: readonly { readonly text: string; readonly holds: boolean | undefined }[];
  readonly model: { readonly answered: number; readonly refused: number };
}

const resultOf = ({ stdout }: Ended): Result => JSON.parse(stdout.toString()) as Result;

describe("the demo", requires("bwrap", "userns", "git"), () => {
  let home = "";
  let temporary = "";
  const run = (...argv: string[]): Promise<Ended> =>
    runCli(["demo", ...argv], {
      env: { HOME: home, BOT_BOTTLE_HOME: join(home, "own"), TMPDIR: temporary },
      cwd: home,
      timeoutMs: 3 * MINUTES,
    });

  beforeEach(() => {
    home = mkdtempSync(join(tmpdir(), "bb-demo-home-"));
    temporary = mkdtempSync(join(tmpdir(), "bb-tmp-"));
  });

  /** No process, directory or socket, and nothing in the home of the one who ran it. */
  afterEach(async () => {
    await vi.waitFor(() => expect(processesAround(home, temporary)).toEqual([]), 5000);
    expect(readdirSync(temporary)).toEqual([]);
    expect(readFileSync("/proc/net/unix", "utf8")).not.toContain(temporary);
    expect(readdirSync(home)).toEqual([]);
    for (const directory of [home, temporary]) rmSync(directory, { recursive: true, force: true });
  });

  it("tells its story on stdout, for people", async () => {
    const end = await run();
    expect([end.code, end.stderr]).toEqual([0, ""]);
    const text = end.stdout.toString();
    expect(text).not.toMatch(ESCAPES);
    for (const part of [
      "call the allowed API",
      "not found",
      "attacker.example.test",
      "secret-found",
      "+  return `Hello,",
    ])
      expect(text).toContain(part);
    expect(text.match(/^yes /gm)?.length).toBeGreaterThanOrEqual(5);
    expect(text).not.toMatch(/^NO {2}/m);
    expect(text).not.toMatch(/demo-real-token-\w|planted-\w{10}/);
  });

  it("gives its claims as JSON alone on stdout", async () => {
    const end = await run("--json");
    expect(end.code).toBe(0);
    expect(end.stdout.toString().trim().split("\n")).toHaveLength(1);
    const { status, claims } = resultOf(end);
    expect(status).toBe(0);
    expect(claims.length).toBeGreaterThanOrEqual(5);
    expect(claims.filter(({ holds }) => holds !== true)).toEqual([]);
    expect(end.stderr).not.toMatch(ESCAPES);
    expect(end.stderr).not.toMatch(/warn|deprecat/i);
  });

  it("shows what a wrong token comes to", async () => {
    const end = await run("--json", "--without-injection");
    expect(end.code).toBe(1);
    const { status, claims } = resultOf(end);
    expect(status).toBe(1);
    expect(claims.filter(({ holds }) => holds !== true)).toEqual([]);
    expect(claims.map(({ text }) => text).join("\n")).toMatch(
      /refused the call, because a wrong token[^]*without the real token the agent failed/,
    );
    expect(end.stderr).toMatch(/401.*no valid token/);
  });

  it("runs twice at the same time", async () => {
    const ends = await Promise.all([run("--json"), run("--json")]);
    expect(ends.map(({ code }) => code)).toEqual([0, 0]);
  });

  it("stops at once on SIGINT and leaves nothing", async () => {
    const child = startCli(["demo"], {
      env: { HOME: home, BOT_BOTTLE_HOME: join(home, "own"), TMPDIR: temporary },
      cwd: home,
    });
    const end = ended(child);
    await new Promise<void>((resolve) => child.stdout?.once("data", () => resolve()));
    child.kill("SIGINT");
    expect((await end).code).toBe(130);
  });

  for (const agent of ["claude", "codex"] as const) {
    describe(`with the real ${agent}`, requires(agent), () => {
      it("holds what it claims", { timeout: 4 * MINUTES }, async () => {
        const end = await run("--json", "--agent", agent);
        expect([end.code, end.stderr]).toEqual([0, expect.any(String)]);
        const { claims, model } = resultOf(end);
        expect(claims.filter(({ holds }) => holds !== true)).toEqual([]);
        expect(model.answered).toBeGreaterThanOrEqual(2);
        expect(model.refused).toBe(0);
        expect(end.stderr).not.toMatch(/ERROR .*WebSocket/i);
      });

      it("fails when the credential that is put in is wrong", {
        timeout: 4 * MINUTES,
      }, async () => {
        const end = await run("--json", "--agent", agent, "--without-injection");
        expect(end.code).not.toBe(0);
        expect(end.code).not.toBe(125);
        const { claims, model } = resultOf(end);
        expect(claims.some(({ holds }) => holds !== true)).toBe(true);
        expect(model.answered).toBe(0);
        expect(model.refused).toBeGreaterThan(0);
      });
    });
  }
});
