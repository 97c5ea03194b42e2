// The agents' images as a user's bottle runs them: the pinned programs, and nothing of what the build needed.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { parseJson } from "../../src/base/json.ts";
import { openEngine } from "../../src/engine/engine.ts";
import { ensureImage } from "../../src/images/ensure-image.ts";
import { imageEnv, runInImage } from "../support/docker.ts";
import { requires } from "../support/requires.ts";

const PINS = join(import.meta.dirname, "../../scripts/agents/package.json");
/** Where nothing is cached yet, a build installs the agent from the package registry. */
const BUILD_MS = 240_000;

const pinned = (name: string): unknown => {
  const manifest = parseJson(readFileSync(PINS, "utf8"));
  expect(manifest).toHaveProperty(["dependencies", name]);
  return Object(Object(manifest)["dependencies"])[name];
};

describe.each([
  ["claude", "@anthropic-ai/claude-code"],
  ["codex", "@openai/codex"],
])("the image of %s", requires("docker"), (template, packageName) => {
  let id: string;

  beforeAll(async () => {
    using engine = await openEngine(process.env);
    const plan = { kind: "provider", template, tag: `bot-bottle-${template}:latest` } as const;
    const ports = { engine, env: imageEnv(), signal: undefined, onProgress: () => undefined };
    ({ id } = await ensureImage(plan, ports));
  }, BUILD_MS);

  it("has the pinned agent on PATH, for an ordinary user without a network", () => {
    const seen = runInImage(id, [
      "sh",
      "-c",
      `id -u; command -v ${template}; ${template} --version`,
    ]);
    expect(seen).toContain(`1000\n/usr/local/bin/${template}\n`);
    expect(seen).toContain(String(pinned(packageName)));
  });

  it("has what a guest needs besides", () => {
    const programs = ["node", "git", "ssh", "curl", "sh"];
    const seen = runInImage(id, ["sh", "-c", programs.map((it) => `command -v ${it}`).join(";")]);
    expect(seen.trim().split("\n")).toHaveLength(programs.length);
    const major = runInImage(id, ["node", "-p", "process.versions.node.split('.')[0]"]);
    expect(Number(major)).toBeGreaterThanOrEqual(20);
  });

  it("has nothing of the build: no roots, no configuration and no cache of npm", () => {
    const find =
      "find / -xdev '(' -name '*build-ca*' -o -name .npmrc -o -name _cacache -o -path /agent ')'";
    expect(runInImage(id, ["sh", "-c", find], "root")).toBe("");
    const read = (image: string) =>
      runInImage(image, ["cat", "/etc/ssl/certs/ca-certificates.crt"]);
    expect(read(id)).toBe(read(imageEnv().BOT_BOTTLE_BASE_IMAGE));
  });
});
