import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { findBinary, installHint, requireBinary } from "./find-binary.ts";

let dir = "";
const at = (...parts: string[]): string => join(dir, ...parts);

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "find-binary-"));
  await mkdir(at("first", "tool"), { recursive: true });
  await mkdir(at("second"));
  await mkdir(at("third"));
  await writeFile(at("second", "tool"), "", { mode: 0o644 });
  await writeFile(at("third", "tool"), "", { mode: 0o755 });
  await symlink(at("third", "tool"), at("second", "link"));
  await symlink(at("nowhere"), at("second", "dangling"));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

describe("findBinary", () => {
  it("takes the first executable file, not a directory or a plain file", async () => {
    const path = [at("first"), at("second"), at("missing"), at("third")].join(":");
    expect(await findBinary("tool", path)).toBe(at("third", "tool"));
    expect(await findBinary("tool", [at("first"), at("second")].join(":"))).toBeUndefined();
  });

  it("follows links that lead somewhere", async () => {
    expect(await findBinary("link", at("second"))).toBe(at("second", "link"));
    expect(await findBinary("dangling", at("second"))).toBeUndefined();
  });

  it("never looks in the current directory", async () => {
    const relative = `:.:${"../".repeat(30)}${dir.slice(1)}/third`;
    expect(await findBinary("tool", relative)).toBeUndefined();
    for (const name of ["", "../third/tool", at("third", "tool"), "tool\0"]) {
      expect(await findBinary(name, at("third"))).toBeUndefined();
    }
  });
});

describe("requireBinary", () => {
  it("names what is missing and the command that installs it", async () => {
    expect(await requireBinary("tool", at("third"))).toBe(at("third", "tool"));
    await expect(requireBinary("bwrap", at("third"))).rejects.toMatchObject({
      code: "host.binary-missing",
      message: `program "bwrap" cannot be run: it is not on PATH (${at("third")})`,
      hint: installHint("bwrap"),
    });
    await expect(requireBinary("x", "", "ask your admin")).rejects.toMatchObject({
      hint: "ask your admin",
    });
  });

  it("knows the packages of our programs", () => {
    const names = ["bwrap", "git", "ssh", "setpriv", "prlimit", "systemd-run", "mkfifo", "ps"];
    expect(names.map((name) => installHint(name, "linux"))).toEqual([
      "install it: apt-get install bubblewrap",
      "install it: apt-get install git",
      "install it: apt-get install openssh-client",
      "install it: apt-get install util-linux",
      "install it: apt-get install util-linux",
      "install it: apt-get install systemd",
      "install it: apt-get install coreutils",
      "install it: apt-get install procps",
    ]);
    expect(installHint("git", "darwin")).toBe("install it: brew install git");
    expect(installHint("bwrap", "darwin")).toBe("bwrap exists on Linux only");
    expect(installHint("claude", "linux")).toBeUndefined();
  });
});
