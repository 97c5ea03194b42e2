import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { parseGuestPath, parseHostPath } from "../base/ids.ts";
import { type HomePaths, homePaths } from "../base/paths.ts";
import type { TreeItem } from "../base/tree.ts";
import { type ListedBottle, listBottles } from "../index.ts";
import type { CommandIo } from "./command.ts";
import { readEnv } from "./env.ts";
import { type GuestFiles, openGuestFiles } from "./guest-copy.ts";
import { createOutput } from "./output.ts";

let root: string;
let home: HomePaths;
let files: GuestFiles;
const state = (...parts: string[]): string => join(home.state, "kept-1", ...parts);

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "bot-bottle-kept-"));
  home = homePaths(parseHostPath(join(root, "home")));
  await mkdir(state("home/workspace"), { recursive: true });
  await mkdir(state("workspace/src"), { recursive: true });
  await writeFile(state("home/note"), "note");
  await writeFile(state("home/workspace/covered"), "the mount point, not what the guest saw");
  await writeFile(state("workspace/src/a.ts"), "a");
  await writeFile(join(root, "secret"), "secret");
  const record = { identity: "kept-1", status: "ended", kept: "because", copy_cwd: true };
  await writeFile(state("metadata.json"), JSON.stringify(record));
  const [bottle] = await listBottles(home);
  files = await openGuestFiles(bottle as ListedBottle, testIo());
});
afterEach(() => rm(root, { recursive: true, force: true }));

function testIo(): CommandIo {
  const env = { ...readEnv({}, false), home };
  return { env, output: createOutput(false, true), signal: new AbortController().signal };
}

async function read(path: string): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for await (const { entry, content } of files.read(parseGuestPath(path))) {
    const chunks: Uint8Array[] = [];
    for await (const chunk of content ?? []) chunks.push(chunk);
    found[entry.path] =
      entry.type === "symlink" ? `-> ${entry.target}` : Buffer.concat(chunks).toString();
  }
  return found;
}

const item = (path: string, text: string): TreeItem => ({
  entry: { kind: "entry", type: "file", path, mode: 0o644, size: text.length },
  content: (async function* () {
    yield Buffer.from(text);
  })(),
});
async function* items(...list: TreeItem[]): AsyncGenerator<TreeItem> {
  yield* list;
}

describe("files of a kept bottle", () => {
  it("are what the guest saw: the workspace lies over the home", async () => {
    expect(await read("/home/node")).toEqual({
      "": "",
      note: "note",
      workspace: "",
      "workspace/src": "",
      "workspace/src/a.ts": "a",
    });
    expect(await read("/home/node/workspace/src/")).toEqual({ "": "", "a.ts": "a" });
    expect(await files.kindOf(parseGuestPath("/home/node/workspace"))).toBe("directory");
    expect(await files.kindOf(parseGuestPath("/home/node/note"))).toBe("other");
    expect(await files.kindOf(parseGuestPath("/home/node/none/x"))).toBe("missing");
  });

  it("are only those below the home", async () => {
    await expect(read("/etc/passwd")).rejects.toMatchObject({ code: "usage.path" });
    await expect(read("/home/nodes")).rejects.toMatchObject({ code: "usage.path" });
  });

  it("never include what a guest's link leads to", async () => {
    await symlink(root, state("workspace/out"));
    await symlink(join(root, "secret"), state("home/link"));
    expect(await read("/home/node/link")).toEqual({ "": `-> ${join(root, "secret")}` });
    await expect(read("/home/node/workspace/out/secret")).rejects.toThrow();
    expect((await read("/home/node"))["workspace/out"]).toBe(`-> ${root}`);
  });

  it("are not read through a workspace that became a link", async () => {
    await rm(state("workspace"), { recursive: true });
    await symlink(root, state("workspace"));
    expect(Object.keys(await read("/home/node"))).toEqual([
      "",
      "note",
      "workspace",
      "workspace/covered",
    ]);
    await expect(read("/home/node/workspace/secret")).rejects.toMatchObject({ code: "ENOENT" });
  });

  it("are written without going through a guest's link", async () => {
    await symlink(root, state("workspace/out"));
    const bad = files.write(
      parseGuestPath("/home/node/workspace/out/secret"),
      items(item("", "x")),
    );
    await expect(bad).rejects.toThrow();
    expect(await readFile(join(root, "secret"), "utf8")).toBe("secret");
    const good = files.write(parseGuestPath("/home/node/workspace/new/b.ts"), items(item("", "b")));
    expect(await good).toBe(1);
    expect(await readFile(state("workspace/new/b.ts"), "utf8")).toBe("b");
  });
});
