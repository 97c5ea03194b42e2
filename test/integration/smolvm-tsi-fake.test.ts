// The fake smolvm 0.8 has the defects of the real one: what the backend does against them would otherwise prove nothing.
import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type SmolvmTsi, startSmolvmTsi } from "../support/smolvm-tsi.ts";
import { tempDir } from "../support/temp-dir.ts";

const home = tempDir("smolvm-home-");
const pack = join(home, "image.smolmachine");
let smolvm: SmolvmTsi;

function run(...args: string[]) {
  const env = { HOME: home, PATH: "/usr/bin:/bin" };
  return spawnSync(smolvm.program, args, {
    encoding: "utf8",
    env,
    stdio: ["ignore", "pipe", "pipe"],
  });
}

function record(name: string): Record<string, unknown> {
  using database = new DatabaseSync(join(home, ".local/share/smolvm/server/smolvm.db"));
  const row = database.prepare("SELECT CAST(data AS TEXT) AS data FROM vms WHERE name = ?");
  return JSON.parse(String(row.get(name)?.["data"])) as Record<string, unknown>;
}

describe("the fake smolvm 0.8", () => {
  beforeAll(async () => {
    smolvm = await startSmolvmTsi();
    mkdirSync(join(home, "share"));
    writeFileSync(pack, "");
  });
  afterAll(() => smolvm[Symbol.asyncDispose]());

  it("takes names by position on create and delete, and by a flag elsewhere", () => {
    expect(run("machine", "create", "--name", "a", "--from", pack)).toMatchObject({ status: 2 });
    expect(run("machine", "create", "a", "--from", pack).stdout).toContain("Created machine: a");
    expect(run("machine", "create", "a", "--from", pack).stderr).toContain("already exists");
    expect(run("machine", "status", "--name", "a", "--json")).toMatchObject({ status: 0 });
    expect(run("machine", "delete", "--name", "a", "-f")).toMatchObject({ status: 2 });
    // Without an answer nothing is deleted, and that is no failure.
    expect(run("machine", "delete", "a").stdout).toContain("Cancelled");
    expect(run("machine", "delete", "a", "-f").stdout).toContain("Deleted machine: a");
    expect(run("machine", "delete", "a", "-f").stderr).toContain("vm not found: a");
    expect(run("machine", "stop", "--name", "a")).toMatchObject({ status: 0 });
  });

  it("drops the filter of a machine made of a pack, and gives it no network by itself", () => {
    const cidr = ["--allow-cidr", "127.0.0.16/32"];
    run("machine", "create", "b", "--from", pack, ...cidr);
    expect(record("b")).toMatchObject({ allowed_cidrs: null, network: false });
    run("machine", "create", "c", "--from", pack, "--net", ...cidr);
    expect(record("c")).toMatchObject({ allowed_cidrs: null, network: true });
    const both = run("machine", "create", "d", "--from", pack, "--smolfile", "x");
    expect(both).toMatchObject({
      status: 2,
      stderr: expect.stringContaining("cannot be used with"),
    });
  });

  it("packs images of registries and nothing else", () => {
    for (const reference of [
      "docker-daemon:x:latest",
      "oci:/tmp/x",
      "/tmp/image.tar",
      "some:image",
    ])
      expect(run("pack", "create", "--image", reference, "-o", join(home, "out")).status).toBe(1);
  });

  it("runs nothing in a machine that was not started", () => {
    run("machine", "create", "e", "--from", pack);
    expect(run("machine", "exec", "--name", "e", "--", "true").stderr).toContain("is not running");
  });
});
