// smolvm takes any file for an image; we do not.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { parseHostPath } from "../../base/ids.ts";
import { checkImage } from "./image.ts";

let root = "";
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "bb-image-"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const at = (name: string) => parseHostPath(join(root, name));

/** A tar header and the blocks of its content. */
function tarEntry(name: string, size: number): Buffer {
  const header = Buffer.alloc(512 + Math.ceil(size / 512) * 512);
  header.write(name, 0);
  header.write(`${size.toString(8).padStart(11, "0")}\0`, 124);
  header.write("ustar\0", 257);
  return header;
}

describe("checkImage", () => {
  it("takes a root file system and an archive of docker save", () => {
    mkdirSync(join(root, "rootfs/bin"), { recursive: true });
    writeFileSync(join(root, "rootfs/bin/sh"), "");
    expect(checkImage(at("rootfs"))).toEqual({ path: at("rootfs"), isFile: false });
    writeFileSync(
      join(root, "saved.tar"),
      Buffer.concat([tarEntry("layer/layer.tar", 700), tarEntry("manifest.json", 10)]),
    );
    expect(checkImage(at("saved.tar"))).toEqual({ path: at("saved.tar"), isFile: true });
  });

  it("refuses what is none, and says why", () => {
    mkdirSync(join(root, "empty"));
    writeFileSync(join(root, "notes.md"), "# notes\n");
    writeFileSync(join(root, "other.tar"), tarEntry("some/file", 3));
    writeFileSync(join(root, "odd.tar"), tarEntry("x", 3).fill("9", 124, 136));
    expect(() => checkImage(at("empty"))).toThrowError(/no \/bin\/sh/);
    for (const name of ["notes.md", "other.tar", "odd.tar"])
      expect(() => checkImage(at(name))).toThrowError(/no archive that docker save makes/);
    expect(() => checkImage(at("missing"))).toThrowError(/no such file/);
  });
});
