import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { parseHostPath } from "../../base/ids.ts";
import { type HomePaths, homePaths } from "../../base/paths.ts";
import type { CommandIo } from "../command.ts";
import { readEnv } from "../env.ts";
import { createOutput } from "../output.ts";
import { cpCommand } from "./cp.ts";

let root: string;
let home: HomePaths;
let notes: string[];
const state = (...parts: string[]): string => join(home.state, "kept-1", ...parts);
const out = (...parts: string[]): string => join(root, "out", ...parts);

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "bot-bottle-cp-"));
  home = homePaths(parseHostPath(join(root, "home")));
  notes = [];
  await mkdir(state("workspace/src"), { recursive: true });
  await mkdir(state("home"));
  await mkdir(out("dir"), { recursive: true });
  await writeFile(state("workspace/src/a.ts"), "a");
  const record = { identity: "kept-1", status: "ended", kept: "because", copy_cwd: true };
  await writeFile(state("metadata.json"), JSON.stringify(record));
});
afterEach(() => rm(root, { recursive: true, force: true }));

function cp(src: string, dst: string, signal = new AbortController().signal): Promise<number> {
  const output = { ...createOutput(false), note: (text: string) => void notes.push(text) };
  const io: CommandIo = { env: { ...readEnv({}, false), home }, output, signal };
  return cpCommand.run({ flags: {}, args: [src, dst], rest: undefined }, io);
}
const WORK = "kept-1:/home/node/workspace";

describe("cp out of a bottle", () => {
  it("makes the destination, or puts the source into it under its name", async () => {
    await cp(WORK, out("new"));
    expect(await readdir(out("new"))).toEqual(["src"]);
    await cp(WORK, out("dir"));
    expect(await readdir(out("dir"))).toEqual(["workspace"]);
    await cp(`${WORK}/src/a.ts`, out("dir/"));
    expect(await readFile(out("dir/a.ts"), "utf8")).toBe("a");
    await cp(`${WORK}/src/a.ts`, out("b.ts"));
    expect(await readFile(out("b.ts"), "utf8")).toBe("a");
  });

  it("copies what is in a directory for SRC/.", async () => {
    await cp(`${WORK}/src/.`, out("dir"));
    expect(await readdir(out("dir"))).toEqual(["a.ts"]);
  });

  it("takes a beginning of the name", async () => {
    await cp("kept:/home/node/workspace/src", out("x"));
    expect(await readdir(out("x"))).toEqual(["a.ts"]);
  });

  it("says how many links lead out of the copy, and copies them as links", async () => {
    await symlink("/etc", state("workspace/etc"));
    await symlink("../../x", state("workspace/up"));
    await symlink("src/a.ts", state("workspace/fine"));
    await cp(WORK, out("new"));
    expect(notes.at(-1)).toContain("2 copied links lead out of the copy");
  });

  it("writes nothing through a link that an earlier copy brought", async () => {
    await symlink(root, state("workspace/trap"));
    await cp(`${WORK}/.`, out("dir"));
    await rm(state("workspace/trap"));
    await mkdir(state("workspace/trap"));
    await writeFile(state("workspace/trap/planted"), "x");
    await expect(cp(`${WORK}/.`, out("dir"))).rejects.toMatchObject({ code: "usage.path" });
    expect(await readdir(root)).not.toContain("planted");
  });

  it.each(["/home/node/workspace", "/home/node"])(
    "copies all of %s but a name that is no text, then fails and says where it is",
    async (path) => {
      const name = Buffer.from(`${state("workspace/src")}/b\xff`, "latin1");
      await writeFile(name, "lost");
      await writeFile(state("workspace/z"), "z");
      await expect(cp(`kept-1:${path}`, out("new"))).rejects.toMatchObject({
        code: "usage.path",
        message: expect.stringMatching(/^1 entry was left out .*src\/b\\xff/),
        hint: expect.stringContaining(state(path.endsWith("node") ? "home" : "workspace")),
      });
      const work = path.endsWith("node") ? out("new/workspace") : out("new");
      expect((await readdir(work)).sort()).toEqual(["src", "z"]);
      expect(await readdir(join(work, "src"))).toEqual(["a.ts"]);
    },
  );

  it("says what it left out on the way in", async () => {
    await writeFile(Buffer.from(`${out("dir")}/b\xff`, "latin1"), "lost");
    await writeFile(out("dir/c"), "c");
    const fault = { code: "usage.path", hint: expect.stringContaining("rename") };
    await expect(cp(out("dir"), `${WORK}/given`)).rejects.toMatchObject(fault);
    expect(await readdir(state("workspace/given"))).toEqual(["c"]);
  });

  it("writes neither into nor through a link, whoever made it", async () => {
    await mkdir(out("outside"));
    await symlink(out("outside"), out("link"));
    for (const dst of ["link", "link/", "link/.", "link/new"]) {
      await expect(cp(`${WORK}/.`, `${out()}/${dst}`)).rejects.toMatchObject({
        code: "usage.path",
        message: expect.stringContaining("link is a symbolic link"),
        hint: expect.stringContaining("name that place"),
      });
    }
    await symlink(out("nowhere"), out("dangling"));
    await expect(cp(`${WORK}/src/a.ts`, out("dangling"))).rejects.toThrow("symbolic link");
    expect((await readdir(out())).sort()).toEqual(["dangling", "dir", "link", "outside"]);
    expect(await readdir(out("outside"))).toEqual([]);
  });

  it("makes no link where the copy itself is expected", async () => {
    await symlink(root, state("workspace/trap"));
    await symlink("src", state("workspace/near"));
    for (const name of ["trap", "near"]) {
      const copy = cp(`${WORK}/${name}`, out("new"));
      await expect(copy).rejects.toThrow("it is a symbolic link");
    }
    expect(await readdir(out())).toEqual(["dir"]);
  });

  it.each([
    [`${WORK}/none`, "x", "no such file"],
    [WORK, "none/x", "its directory does not exist"],
    [WORK, "none/", "it does not exist"],
  ])("%s to %s is a usage error", async (src, dst, message) => {
    const fault = { code: "usage.path", message: expect.stringContaining(message) };
    await expect(cp(src, `${out()}/${dst}`)).rejects.toMatchObject(fault);
  });

  it("leaves no half file when a signal comes", async () => {
    const cancel = new AbortController();
    cancel.abort(new Error("stopped"));
    await expect(cp(WORK, out("new"), cancel.signal)).rejects.toThrow("stopped");
    expect(await readdir(out())).toEqual(["dir"]);
  });
});

describe("cp into a bottle", () => {
  it("follows the link that was named, and none below it", async () => {
    await mkdir(out("real"));
    await writeFile(out("real/f"), "f");
    await symlink("/etc/passwd", out("real/link"));
    await symlink(out("real"), out("named"));
    await cp(out("named"), `${WORK}/given`);
    expect((await readdir(state("workspace/given"))).sort()).toEqual(["f", "link"]);
    await cp(out("real/f"), `${WORK}/src`);
    expect(await readFile(state("workspace/src/f"), "utf8")).toBe("f");
    await cp(out("real/f"), `${WORK}/new/`);
    expect(await readFile(state("workspace/new/f"), "utf8")).toBe("f");
  });

  it.each([
    ["a", "b"],
    [WORK, "kept-1:/home/node"],
  ])("needs exactly one side in a bottle: %s to %s", async (src, dst) => {
    await expect(cp(src, dst)).rejects.toMatchObject({ code: "usage.path" });
  });
});
