// What a container's guest is given of the host by a mount, with other file systems mounted below it.
import { execFileSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { makeWorld } from "../support/bottle-world.ts";
import { openDockerBottle } from "../support/docker-bottle.ts";
import { requires } from "../support/requires.ts";
import { tempDir } from "../support/temp-dir.ts";

describe("a mount of a container", requires("docker", "root"), () => {
  it("is read-only with all that is mounted below it", async () => {
    const directory = tempDir("mounted-");
    chmodSync(directory, 0o755);
    const below = join(directory, "below");
    mkdirSync(below);
    execFileSync("mount", ["-t", "tmpfs", "-o", "mode=1777", "none", below]);
    onTestFinished(() => void execFileSync("umount", ["-l", below]));
    const mounts = `mounts: [{ host: ${directory}, guest: /ref }]`;
    const provider = "agent_provider: { template: command, settings: { argv: [/bin/true] } }";
    await using bottle = await openDockerBottle(makeWorld(`${mounts}\n${provider}`));
    await bottle.exec(["sh", "-c", "echo x >/ref/file; echo x >/ref/below/file"]);
    expect(existsSync(join(directory, "file"))).toBe(false);
    expect(existsSync(join(below, "file"))).toBe(false);
  });
});
