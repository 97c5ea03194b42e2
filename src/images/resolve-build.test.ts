import { describe, expect, it } from "vitest";
import { parseHostPath } from "../base/ids.ts";
import { findBuildFaults } from "./build-faults.ts";
import {
  BUILD_CA_FILE,
  builtName,
  parseBuildSettings,
  resolveBuild,
  resolveBundleBuild,
} from "./resolve-build.ts";

const ROOT = parseHostPath("/package");
const NONE = { baseImage: undefined, buildCa: undefined };

describe("a build's plan", () => {
  it("takes a provider's Dockerfile and pins from the package", () => {
    const plan = { kind: "provider", template: "claude", tag: "bot-bottle-claude:latest" } as const;
    const build = resolveBuild(plan, NONE, ROOT);
    expect(build.files.map((file) => file.hostPath)).toEqual([
      "/package/images/claude/Dockerfile",
      "/package/scripts/agents/package.json",
      "/package/scripts/agents/package-lock.json",
    ]);
    expect(build).toMatchObject({ tag: "bot-bottle-claude:latest", args: {} });
    expect(build.directory).toBeUndefined();
  });

  it("gives a bottle's Dockerfile its directory, and its bottles one family", () => {
    const dockerfile = parseHostPath("/home/me/.bot-bottle/bottles/web/Dockerfile.dev");
    const plan = { kind: "dockerfile", dockerfile, tag: "bot-bottle-claude:web-1" } as const;
    const build = resolveBuild(plan, NONE, ROOT);
    expect(build.directory).toBe("/home/me/.bot-bottle/bottles/web");
    expect(build.dockerfile).toBe("Dockerfile.dev");
    expect(build.tag).toBe("bot-bottle-claude:web-1");
    const other = resolveBuild({ ...plan, tag: "bot-bottle-claude:web-2" }, NONE, ROOT);
    expect(other.family).toBe(build.family);
    expect(builtName(build.family, "abc")).toMatch(/^bot-bottle-claude:built-[0-9a-f]{12}-abc$/);
  });

  it("puts the built bundle where its Dockerfile expects it", () => {
    const build = resolveBundleBuild(parseHostPath("/else/bundle.js"), NONE, ROOT);
    expect(build.files.slice(-2)).toEqual([
      { path: "dist/suffixes.js", hostPath: "/else/suffixes.js" },
      { path: "dist/bundle.js", hostPath: "/else/bundle.js" },
    ]);
    expect(build.tag).toBe("bot-bottle-sidecars:latest");
  });

  it("passes the operator's base and roots on", () => {
    const settings = parseBuildSettings({
      BOT_BOTTLE_BASE_IMAGE: "bot-bottle-base:debian-0123",
      BOT_BOTTLE_BUILD_CA: "/etc/roots.pem",
    });
    const build = resolveBundleBuild(parseHostPath("/else/bundle.js"), settings, ROOT);
    expect(build.args).toEqual({
      BASE_IMAGE: "bot-bottle-base:debian-0123",
      BUILD_CA: BUILD_CA_FILE,
    });
    expect(build.files).toContainEqual({ path: BUILD_CA_FILE, hostPath: "/etc/roots.pem" });
  });

  it("takes an empty setting as none", () => {
    expect(parseBuildSettings({ BOT_BOTTLE_BASE_IMAGE: "", BOT_BOTTLE_BUILD_CA: "" })).toEqual(
      NONE,
    );
  });

  it("refuses settings that cannot be meant", () => {
    expect(() => parseBuildSettings({ BOT_BOTTLE_BUILD_CA: "roots.pem" })).toThrow(/absolute/);
    expect(() => parseBuildSettings({ BOT_BOTTLE_BASE_IMAGE: "a\nRUN x" })).toThrow(
      /name or id of an image/,
    );
    expect(() => parseBuildSettings({ BOT_BOTTLE_BASE_IMAGE: "--privileged" })).toThrow();
    for (const env of [
      { BOT_BOTTLE_BUILD_CA: "roots.pem" },
      { BOT_BOTTLE_BUILD_CA: "/nowhere/roots.pem" },
      { BOT_BOTTLE_BASE_IMAGE: "--privileged" },
    ]) {
      const [fault] = findBuildFaults(env);
      expect(fault?.what).toContain(Object.keys(env)[0]);
      expect(fault?.hint).toContain("docs/images.md");
    }
  });
});
