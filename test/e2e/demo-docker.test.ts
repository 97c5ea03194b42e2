// The demo in a container, from the built files: the scripted agent and the real ones of the images. What it claims holds, a
// wrong credential makes the real agents fail, and nothing of it is left on the engine or on the host.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type Ended, ended, runCli, startCli } from "../support/built-cli.ts";
import { imageEnv } from "../support/docker.ts";
import { docker } from "../support/docker-command.ts";
import { processesAround } from "../support/find-secrets.ts";
import { requires } from "../support/requires.ts";

const MINUTES = 60_000;
/** The first run of an agent builds its image. */
const BUILD_MS = 8 * MINUTES;

interface Result {
  readonly status: number;
  readonly claims: readonly { readonly text: string; readonly holds: boolean | null }[];
  readonly model: { readonly answered: number; readonly refused: number };
}

const resultOf = ({ stdout }: Ended): Result => JSON.parse(stdout.toString()) as Result;

describe("the demo on docker", requires("docker", "git"), () => {
  let home = "";
  let temporary = "";
  let bottles: string[] = [];
  const place = (extra: Readonly<Record<string, string>> = {}) => {
    const settings = Object.entries(imageEnv()).flatMap(([name, value]) =>
      value === undefined ? [] : [[name, value] as const],
    );
    const env = { HOME: home, BOT_BOTTLE_HOME: join(home, "own"), TMPDIR: temporary };
    return {
      env: { ...Object.fromEntries(settings), ...env, ...extra },
      cwd: home,
      timeoutMs: BUILD_MS,
    };
  };
  const run = async (argv: readonly string[], extra = {}): Promise<Ended> => {
    const end = await runCli(["demo", ...argv], place(extra));
    const said = end.stderr + end.stdout.toString();
    bottles.push(...[...said.matchAll(/^bottle (demo-[\w-]+):/gm)].map(([, name = ""]) => name));
    return end;
  };

  beforeEach(() => {
    bottles = [];
    home = mkdtempSync(join(tmpdir(), "bb-demo-home-"));
    temporary = mkdtempSync(join(tmpdir(), "bb-tmp-"));
  });

  afterEach(async () => {
    for (const bottle of bottles) {
      const label = ["--filter", `label=bot-bottle.bottle=${bottle}`];
      // The engine removes what has ended in its own time.
      await vi.waitFor(() => expect(docker("ps", "--all", "--quiet", ...label)).toBe(""), 5000);
      expect(docker("network", "ls", "--quiet", ...label)).toBe("");
    }
    await vi.waitFor(() => expect(processesAround(home, temporary)).toEqual([]), 5000);
    expect(readdirSync(temporary)).toEqual([]);
    expect(readFileSync("/proc/net/unix", "utf8")).not.toContain(temporary);
    expect(readdirSync(home)).toEqual([]);
    for (const directory of [home, temporary]) rmSync(directory, { recursive: true, force: true });
  });

  it("tells its story on stdout, for people", { timeout: BUILD_MS }, async () => {
    const end = await run(["--backend", "docker"]);
    expect([end.code, end.stderr]).toEqual([0, ""]);
    const text = end.stdout.toString();
    for (const part of [
      "isolation proven on docker",
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

  it("is chosen by the variable, too, and the flag wins over it", async () => {
    const end = await run(["--json"], { BOT_BOTTLE_BACKEND: "docker" });
    expect(end.code).toBe(0);
    expect(end.stderr).toContain("isolation proven on docker");
    const bad = await run(["--json"], { BOT_BOTTLE_BACKEND: "dokcer" });
    expect(bad.code).toBe(125);
    expect(bad.stdout.toString()).toContain('BOT_BOTTLE_BACKEND \\"dokcer\\" is not a backend');
    const won = await run(["--json", "--backend", "docker"], { BOT_BOTTLE_BACKEND: "dokcer" });
    expect([won.code, resultOf(won).status]).toEqual([0, 0]);
  });

  it("says what is missing where there is no engine", async () => {
    const end = await run(["--backend", "docker"], {
      DOCKER_HOST: `unix://${join(temporary, "none.sock")}`,
    });
    expect([end.code, end.stdout.toString()]).toEqual([125, ""]);
    expect(end.stderr).toMatch(/\[host\.backend-unavailable\]/);
    expect(end.stderr).toMatch(/^hint: /m);
  });

  it("stops at once on SIGINT and leaves nothing", async () => {
    const child = startCli(["demo", "--backend", "docker"], place());
    const end = ended(child);
    const lines: string[] = [];
    await new Promise<void>((resolve) => {
      // While the agent runs.
      child.stdout?.on("data", (chunk: Buffer) => {
        lines.push(chunk.toString());
        if (lines.join("").includes("agent |")) resolve();
      });
    });
    child.kill("SIGINT");
    expect((await end).code).toBe(130);
    const [, bottle = ""] = /^bottle (demo-[\w-]+):/m.exec(lines.join("")) ?? [];
    expect(bottle).not.toBe("");
    bottles.push(bottle);
  });

  for (const agent of ["claude", "codex"] as const) {
    it(`holds what it claims with the real ${agent} of the image`, {
      timeout: BUILD_MS,
    }, async () => {
      const end = await run(["--json", "--backend", "docker", "--agent", agent]);
      expect(end.code, end.stderr).toBe(0);
      const { claims, model } = resultOf(end);
      expect(claims.filter(({ holds }) => holds !== true)).toEqual([]);
      expect(model.answered).toBeGreaterThanOrEqual(2);
      expect(model.refused).toBe(0);
      expect(end.stderr).not.toContain("installing");
    });

    it(`shows that the real ${agent} fails when the credential that is put in is wrong`, {
      timeout: BUILD_MS,
    }, async () => {
      const argv = ["--json", "--backend", "docker", "--agent", agent, "--without-injection"];
      const end = await run(argv);
      expect(end.code).not.toBe(0);
      expect(end.code).not.toBe(125);
      const { claims, model } = resultOf(end);
      expect(claims.some(({ holds }) => holds !== true)).toBe(true);
      expect(model.answered).toBe(0);
      expect(model.refused).toBeGreaterThan(0);
    });
  }
});
