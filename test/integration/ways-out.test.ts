// What a mount must not hold, with real sockets on the machine.
import { execFileSync } from "node:child_process";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openBottle } from "../../src/index.ts";
import { findWaysOut } from "../../src/provision/ways-out.ts";
import { makeWorld, planIn } from "../support/bottle-world.ts";
import { requires } from "../support/requires.ts";
import { tempDir } from "../support/temp-dir.ts";

describe("a mount", () => {
  let root = "";
  const server = createServer((socket) => socket.end());
  beforeAll(async () => {
    root = tempDir("ways-out-");
    mkdirSync(join(root, "deep/er"), { recursive: true });
    mkdirSync(join(root, "plain"));
    mkdirSync(join(root, "piped"));
    writeFileSync(join(root, "plain/file"), "text");
    execFileSync("mkfifo", [join(root, "piped/deep")]);
    execFileSync("mkfifo", [join(root, "pipe")]);
    symlinkSync(join(root, "deep"), join(root, "link"));
    await new Promise<void>((done) => server.listen(join(root, "deep/er/engine.sock"), done));
  });
  afterAll(() => server.close());

  it("of plain files and directories is given", () => {
    expect(findWaysOut([join(root, "plain"), join(root, "plain/file")])).toEqual([]);
  });

  it.each(["deep", "deep/er", "link", "."])("that holds a socket is not: %s", (path) => {
    expect(findWaysOut([join(root, path)])).toEqual([expect.stringContaining("engine.sock")]);
  });

  it("that holds a named pipe is not", () => {
    const path = join(root, "piped");
    expect(findWaysOut([path])).toEqual([`${path} holds the named pipe ${path}/deep`]);
  });

  it("that is a socket, a pipe or a device is not", () => {
    const paths = [join(root, "deep/er/engine.sock"), join(root, "pipe"), "/dev/null"];
    const faults = findWaysOut(paths);
    expect(faults.map((it) => it.split(" is ")[1])).toEqual([
      "a socket",
      "a named pipe",
      "a device",
    ]);
  });

  it("that is missing is told by whoever makes it", () => {
    expect(findWaysOut([join(root, "missing")])).toEqual([]);
  });
});

describe("a bottle with such a mount", requires("bwrap", "userns"), () => {
  it("is refused, and nothing of it is left", async () => {
    const root = tempDir("ways-out-");
    const server = createServer((socket) => socket.end());
    await new Promise<void>((done) => server.listen(join(root, "engine.sock"), done));
    const world = makeWorld(
      `agent_provider: { template: command, settings: { argv: ["true"] } }\nmounts: [{ host: ${root}, guest: /data }]`,
    );
    const plan = await planIn(world, { backend: "bubblewrap" });
    await expect(openBottle(plan, { env: world.env })).rejects.toMatchObject({
      code: "launch.backend",
      message: expect.stringContaining("engine.sock"),
    });
    server.close();
  });
});
