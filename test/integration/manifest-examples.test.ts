// The examples that we ship load as they are.
import { globSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { expect, it } from "vitest";
import { parseHostPath } from "../../src/base/ids.ts";
import { homePaths } from "../../src/base/paths.ts";
import { loadManifest } from "../../src/manifest/load.ts";

const root = join(import.meta.dirname, "../..");
const agents = globSync("examples/{agents,*/agents,*/home/agents}/*.md", { cwd: root }).sort();

it.each(agents)("%s", async (file) => {
  const home = homePaths(parseHostPath(join(root, dirname(dirname(file)))));
  const agentName = basename(file, ".md");
  const userHome = parseHostPath("/home/me");
  const manifest = await loadManifest({ home, cwd: "/", userHome, agentName, bottleNames: [] });
  expect(manifest.bottle.names).not.toEqual([]);
  expect(manifest.warnings).toEqual([]);
});

it("there are some", () => {
  expect(agents.length).toBeGreaterThanOrEqual(3);
});
