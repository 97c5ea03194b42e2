import { mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { parseHostPath } from "../base/ids.ts";
import { type HomePaths, homePaths } from "../base/paths.ts";
import { commandPreset, loadManifest, presetNamed } from "../index.ts";
import { writePreset } from "./preset-files.ts";

let root: string;
let home: HomePaths;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "bot-bottle-preset-"));
  home = homePaths(parseHostPath(join(root, "home")));
});
afterEach(() => rm(root, { recursive: true, force: true }));

const load = (agentName: string) =>
  loadManifest({ home, cwd: root, userHome: parseHostPath(root), agentName, bottleNames: [] });

describe("preset files", () => {
  it("make an agent that loads, readable by its owner only", async () => {
    const preset = presetNamed("claude", { name: "work", tokenVariable: "MY_TOKEN" });
    expect(preset).toBeDefined();
    if (preset === undefined) return;
    const files = await writePreset(home, preset, { isReplacing: false });
    const { bottle } = await load("work");
    expect(bottle.provider).toMatchObject({
      template: "claude",
      authToken: { kind: "env", name: "MY_TOKEN" },
    });
    for (const file of [files.bottle, files.agent]) expect((await stat(file)).mode & 0o077).toBe(0);
  });

  it("keep the arguments of a command as they were given", async () => {
    const argv = ["sh", "-c", "echo \"a: b\" # {c}\n'd'", "é", ""];
    await writePreset(home, commandPreset(argv, { name: "tests" }), { isReplacing: false });
    expect((await load("tests")).bottle.provider.settings).toEqual({ argv });
  });

  it("write nothing when one of the files exists, and replace on request", async () => {
    const first = await writePreset(home, commandPreset(["one"], { name: "x" }), {
      isReplacing: false,
    });
    await rm(first.bottle);
    const again = writePreset(home, commandPreset(["two"], { name: "x" }), { isReplacing: false });
    await expect(again).rejects.toMatchObject({
      code: "usage.path",
      hint: expect.stringContaining("--force"),
    });
    expect(await readdir(home.bottles)).toEqual([]);
    await writePreset(home, commandPreset(["three"], { name: "x" }), { isReplacing: true });
    expect(await readFile(first.bottle, "utf8")).toContain("three");
    expect(await readdir(home.bottles)).toEqual(["x.md"]);
  });
});
