// The scripts that bring an engine, gVisor and a base image: what they say when they cannot.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { requires } from "../support/requires.ts";
import { tempDir } from "../support/temp-dir.ts";

const SCRIPTS = join(import.meta.dirname, "../../scripts");

function run(script: string, args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const options = { encoding: "utf8", env: { ...process.env, ...env }, timeout: 50_000 } as const;
  const { status, stdout, stderr } = spawnSync(join(SCRIPTS, script), args, options);
  return { status, stdout, stderr };
}

/** An engine that is not there. */
const NONE = { DOCKER_HOST: "unix:///nowhere/docker.sock" };

describe("scripts for containers", requires("docker"), () => {
  it("use an engine that runs, without a word", () => {
    expect(run("docker/start.sh", [])).toEqual({ status: 0, stdout: "", stderr: "" });
    expect(run("docker/start.sh", ["--check"]).status).toBe(0);
  });

  it("start none beside an engine that was named and does not answer", () => {
    expect(run("docker/start.sh", ["--check"], NONE).status).toBe(1);
    const { status, stderr } = run("docker/start.sh", [], NONE);
    expect(status).toBe(1);
    expect(stderr).toContain("no container engine answers at DOCKER_HOST (unix:///nowhere");
    expect(stderr).toMatch(/^hint: .*unset DOCKER_HOST$/m);
  });

  it("say what a base image needs", () => {
    const noEngine = run("images/make-base.sh", ["host"], {
      ...NONE,
      BOT_BOTTLE_CACHE: tempDir("cache-"),
    });
    expect(noEngine).toMatchObject({ status: 1, stdout: "" });
    expect(noEngine.stderr).toMatch(/engine does not answer\nhint: run scripts\/docker\/start\.sh/);
    const other = run("images/make-base.sh", ["alpine"]);
    expect(other.status).toBe(1);
    expect(other.stderr).toContain("makes debian or host, not alpine");
  });
});

describe("the runtime of gVisor", requires("runsc"), () => {
  it("is registered once, and printed", () => {
    const { status, stdout, stderr } = run("docker/runsc.sh", []);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(existsSync(stdout.trim())).toBe(true);
  });
});
