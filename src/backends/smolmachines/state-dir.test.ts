// Sockets' paths stay short, and a record's text never leads a removal astray.
import { describe, expect, it } from "vitest";
import { parseHostPath } from "../../base/ids.ts";
import { chooseStateDir, isStateDir } from "./state-dir.ts";

describe("chooseStateDir", () => {
  it("lies beside the doors where its sockets fit, else in a short place", () => {
    const near = parseHostPath("/home/user/.bot-bottle/run/0a1b2c3d/doors");
    expect(chooseStateDir(near, false)).toBe("/home/user/.bot-bottle/run/0a1b2c3d/smolvm");
    const far = parseHostPath(`/${"long/".repeat(9)}run/0a1b2c3d/doors`);
    expect(chooseStateDir(far, false)).toMatch(/^\/tmp\/bot-bottle-vm-[0-9a-f]{16}$/);
    expect(chooseStateDir(far, true)).toBe(`/${"long/".repeat(9)}run/0a1b2c3d/smolvm`);
  });
});

describe("isStateDir", () => {
  it.each([
    "/home/user/.bot-bottle/run/0a1b2c3d/smolvm",
    "/run/user/1000/bot-bottle-0a1b2c3d/smolvm",
    "/tmp/bot-bottle-vm-0123456789abcdef",
  ])("knows %s", (path) => expect(isStateDir(path)).toBe(true));

  it.each([
    "/",
    "/home/user",
    "/home/user/.bot-bottle/run/0a1b2c3d",
    "/home/user/run/0a1b2c3d/../smolvm",
    "/x/../run/0a1b2c3d/smolvm",
    "/tmp/bot-bottle-vm-0123456789abcdef/..",
    "/tmp/bot-bottle-vm-short",
  ])("does not take %s for one", (path) => expect(isStateDir(path)).toBe(false));
});
