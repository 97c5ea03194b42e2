// What a guest of this kernel is given of the host by a mount, with another file system mounted below it.
import { execFileSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { openBackend } from "../../src/index.ts";
import { createFakeBundleHost } from "../../src/testing/index.ts";
import { makeWorld, openIn } from "../support/bottle-world.ts";
import { requires } from "../support/requires.ts";
import { tempDir } from "../support/temp-dir.ts";

describe("a mount of a sandbox", requires("bwrap", "root"), () => {
  it("is read-only with all that is mounted below it", async () => {
    const directory = tempDir("mounted-");
    chmodSync(directory, 0o755);
    const below = join(directory, "below");
    mkdirSync(below);
    execFileSync("mount", ["-t", "tmpfs", "-o", "mode=1777", "none", below]);
    onTestFinished(() => void execFileSync("umount", ["-l", below]));
    writeFileSync(join(below, "note"), "shown");
    const mounts = `mounts: [{ host: ${directory}, guest: /ref }]`;
    const provider = "agent_provider: { template: command, settings: { argv: [/bin/true] } }";
    const backend = await openBackend("bubblewrap");
    const launchers = { backend, bundleHost: createFakeBundleHost() };
    await using bottle = await openIn(makeWorld(`${mounts}\n${provider}`), launchers);
    const seen = await bottle.exec(["cat", "/ref/below/note"]);
    expect(String(seen.stdout)).toBe("shown");
    await bottle.exec(["sh", "-c", "echo x >/ref/file; echo x >/ref/below/file"]);
    expect(existsSync(join(directory, "file"))).toBe(false);
    expect(existsSync(join(below, "file"))).toBe(false);
  });
});
