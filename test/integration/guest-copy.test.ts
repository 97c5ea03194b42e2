// Copies between host and guest: what goes in comes out, and a hostile side writes and reads nothing outside its root.

import { spawn } from "node:child_process";
import {
  chmod,
  lstat,
  mkdir,
  readFile,
  readlink,
  stat,
  symlink,
  writeFile,
} from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { ArchiveItem } from "../../src/backends/contract.ts";
import { readHostTree, writeHostTree } from "../../src/backends/shared/archive.ts";
import { type HostPath, parseGuestPath, parseHostPath } from "../../src/base/ids.ts";
import { encodeArchive } from "../../src/protocol/archive.ts";
import { openFakeGuest } from "../support/fake-guest.ts";
import { openTestGuest, PROGRAMS } from "../support/guest-init.ts";
import { tempDir } from "../support/temp-dir.ts";

const temporary = async (): Promise<HostPath> => parseHostPath(tempDir("copy-"));
const under = (dir: string, path: string): HostPath => parseHostPath(join(dir, path));

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

/** Lines that tell a tree apart: type, mode, path, content or target. */
async function describeTree(root: string): Promise<string[]> {
  const lines: string[] = [];
  for await (const { entry, content } of readHostTree(parseHostPath(root))) {
    const bytes =
      content === undefined
        ? ""
        : Buffer.concat(await collect(content))
            .toString("latin1")
            .slice(0, 40);
    const detail = entry.type === "symlink" ? entry.target : `${entry.mode.toString(8)} ${bytes}`;
    lines.push(`${entry.type} ${entry.path} ${detail}`);
  }
  return lines;
}

async function makeTree(): Promise<HostPath> {
  const root = under(await temporary(), "tree");
  await mkdir(join(root, "empty"), { recursive: true });
  await mkdir(join(root, "deep/er/est"), { recursive: true });
  await writeFile(join(root, "deep/er/est/файл 🍾\n"), "unicode");
  await writeFile(join(root, "run.sh"), "#!/bin/sh\n", { mode: 0o755 });
  await writeFile(join(root, "setuid"), "s");
  await chmod(join(root, "setuid"), 0o4755);
  await writeFile(join(root, "secret"), "x", { mode: 0o600 });
  await writeFile(join(root, "zero"), "");
  await writeFile(join(root, "large"), Buffer.alloc(3 * 1024 * 1024, "large"));
  await symlink("/etc", join(root, "absolute-link"));
  await symlink("../../..", join(root, "deep/up-link"));
  await symlink("nowhere", join(root, "dangling"));
  await mkdir(join(root, "locked"));
  await writeFile(join(root, "locked/inside"), "i");
  await chmod(join(root, "locked"), 0o555);
  return root;
}

describe.each(PROGRAMS)("a round trip through the guest (%s)", (_, program) => {
  it("keeps names, contents, modes, links and empty directories; drops setuid", async () => {
    await using guest = await openTestGuest({ program });
    const source = await makeTree();
    const inside = under(guest.dir, "new/parents/tree");
    const before = await describeTree(source);
    expect(await guest.link.copyIn(parseGuestPath(inside), readHostTree(source))).toBe(
      before.length,
    );
    const back = under(await temporary(), "back");
    expect(await writeHostTree(back, guest.link.copyOut(parseGuestPath(inside)))).toBe(
      before.length,
    );
    expect(await describeTree(back)).toEqual(before);
    expect(before).toContain("file setuid 755 s");
    expect((await stat(join(back, "setuid"))).mode & 0o7777).toBe(0o755);
    await chmod(join(inside, "locked"), 0o755);
  });

  it("takes a single file, and replaces files and links in the guest without following", async () => {
    await using guest = await openTestGuest({ program });
    const outside = join(guest.dir, "outside");
    await writeFile(outside, "untouched");
    await symlink(outside, join(guest.dir, "target"));
    const source = under(await temporary(), "file");
    await writeFile(source, "new");
    const target = parseGuestPath(join(guest.dir, "target"));
    for (let round = 0; round < 2; round += 1)
      expect(await guest.link.copyIn(target, readHostTree(source))).toBe(1);
    expect((await lstat(target)).isFile()).toBe(true);
    expect([await readFile(target, "utf8"), await readFile(outside, "utf8")]).toEqual([
      "new",
      "untouched",
    ]);
    const back = under(await temporary(), "back");
    await writeHostTree(back, guest.link.copyOut(target));
    expect(await readFile(back, "utf8")).toBe("new");
  });

  it("never goes through a link below the root", async () => {
    await using guest = await openTestGuest({ program });
    const outside = await temporary();
    await mkdir(join(guest.dir, "root"));
    await symlink(outside, join(guest.dir, "root/link"));
    const root = parseGuestPath(join(guest.dir, "root"));
    await expect(guest.link.copyIn(root, [fileItem("link/planted", "x")])).rejects.toMatchObject({
      code: "launch.copy",
    });
    expect(await describeTree(outside)).toHaveLength(1);
  });

  it("leaves out what is no file, and fails for what is not there", async () => {
    await using guest = await openTestGuest({ program });
    const root = join(guest.dir, "special");
    await mkdir(root);
    const server = createServer();
    await new Promise<void>((resolve) => void server.listen(join(root, "socket"), resolve));
    const items = await collect(guest.link.copyOut(parseGuestPath(root)));
    expect(items.map((it) => it.entry.path)).toEqual([""]);
    server.close();
    const missing = collect(guest.link.copyOut(parseGuestPath(join(root, "missing"))));
    await expect(missing).rejects.toMatchObject({
      code: "launch.copy",
      details: { code: "ENOENT" },
    });
    const read = guest.link.copyIn(parseGuestPath("/proc/nothing/here"), [fileItem("x", "y")]);
    await expect(read).rejects.toMatchObject({ code: "launch.copy" });
  });

  it("copies everything but names that are no text, and then says which", async () => {
    await using guest = await openTestGuest({ program });
    const root = join(guest.dir, "odd");
    await mkdir(join(root, "z"), { recursive: true });
    await writeFile(join(root, "z/last"), Buffer.alloc(2 * 1024 * 1024, "large"));
    await writeFile(nameOf(root, "z/b\xe9\\\n"), "lost");
    await mkdir(nameOf(root, "a\xff"));
    await symlink(Buffer.from("to\xfe", "latin1"), join(root, "link"));
    const fault = {
      code: "launch.copy",
      message: expect.stringMatching(/3 entries were left out .*a\\xff.*z\/b\\xe9\\x5c\\x0a/),
      details: { code: "left-out" },
    };
    const back = under(await temporary(), "back");
    const copy = writeHostTree(back, guest.link.copyOut(parseGuestPath(root)));
    await expect(copy).rejects.toMatchObject(fault);
    expect((await describeTree(back)).length).toBe(3);
    expect((await stat(join(back, "z/last"))).size).toBe(2 * 1024 * 1024);
    const inside = parseGuestPath(join(guest.dir, "in"));
    const into = guest.link.copyIn(inside, readHostTree(parseHostPath(root)));
    await expect(into).rejects.toMatchObject({ code: "usage.path", details: { count: 3 } });
    expect((await describeTree(inside)).length).toBe(3);
  });

  it("survives both sides giving up", async () => {
    await using guest = await openTestGuest({ program });
    const source = await makeTree();
    for await (const _item of guest.link.copyOut(parseGuestPath(source))) break;
    const failing = async function* (): AsyncGenerator<ArchiveItem> {
      yield fileItem("first", "x");
      throw new Error("the source broke");
    };
    await expect(
      guest.link.copyIn(parseGuestPath(join(guest.dir, "half")), failing()),
    ).rejects.toThrow("the source broke");
    expect((await collect(guest.link.copyOut(parseGuestPath(source)))).length).toBeGreaterThan(10);
  });
});

/** A path whose last part is bytes, written as Latin-1. */
const nameOf = (root: string, name: string): Buffer =>
  Buffer.concat([Buffer.from(`${root}/`), Buffer.from(name, "latin1")]);

function fileItem(path: string, text: string): ArchiveItem {
  const bytes = Buffer.from(text);
  return {
    entry: { kind: "entry", type: "file", path, mode: 0o644, size: bytes.length },
    content: contentOf(bytes),
  };
}

/** What a file on the host holds, read as an archive. */
async function contentAt(file: HostPath, within: HostPath): Promise<string> {
  let content = "";
  for await (const item of readHostTree(file, { within })) {
    for await (const chunk of item.content ?? []) content += Buffer.from(chunk).toString();
  }
  return content;
}

async function* contentOf(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

const linkItem = (path: string, target: string): ArchiveItem => ({
  entry: { kind: "entry", type: "symlink", path, target },
  content: undefined,
});
const directoryItem = (path: string): ArchiveItem => ({
  entry: { kind: "entry", type: "directory", path, mode: 0o755 },
  content: undefined,
});

describe("a hostile guest's copy", () => {
  const attacks: readonly [string, (outside: string) => ArchiveItem[]][] = [
    ["climbs with ..", () => [fileItem("../escaped", "x")]],
    ["climbs in the middle", () => [directoryItem("a"), fileItem("a/../../escaped", "x")]],
    ["is absolute", (outside) => [fileItem(join(outside, "escaped"), "x")]],
    [
      "writes through its own link",
      (outside) => [linkItem("link", outside), fileItem("link/escaped", "x")],
    ],
    [
      "writes through a relative link",
      () => [linkItem("link", "../outside"), fileItem("link/escaped", "x")],
    ],
    [
      "makes a directory through its link",
      (outside) => [linkItem("link", outside), directoryItem("link/escaped")],
    ],
    [
      "links through its link",
      (outside) => [linkItem("link", outside), linkItem("link/escaped", "/etc")],
    ],
    [
      "writes over its link to a file",
      (outside) => [linkItem("link", join(outside, "kept")), fileItem("link", "overwritten")],
    ],
    ["turns the root into a link", (outside) => [linkItem("", outside), fileItem("escaped", "x")]],
    [
      "replaces a directory by a link",
      (outside) => [directoryItem("d"), linkItem("d", outside), fileItem("d/escaped", "x")],
    ],
  ];

  it.each(attacks)("that %s leaves nothing outside the target", async (_, items) => {
    const base = await temporary();
    const outside = join(base, "outside");
    await mkdir(outside);
    await writeFile(join(outside, "kept"), "kept");
    const target = under(base, "target");
    const { guest, link } = await openFakeGuest();
    const copy = writeHostTree(target, (await link).copyOut(parseGuestPath("/x")));
    await guest.next();
    for await (const bytes of encodeArchive(items(outside))) guest.send("stdout", 1, bytes);
    guest.send("stdout", 1, Buffer.alloc(0));
    guest.send("message", 1, { kind: "copied", entries: 2 });
    await expect(copy).rejects.toBeInstanceOf(Error);
    expect(await describeTree(outside)).toEqual(["directory  755 ", "file kept 644 kept"]);
    await expect(lstat(join(base, "escaped"))).rejects.toMatchObject({ code: "ENOENT" });
    guest.socket.destroy();
  });

  it("that is cut short, too long or never ends is an error of the copy", async () => {
    const whole = Buffer.concat(await collect(encodeArchive([fileItem("a", "content")])));
    for (const bytes of [
      whole.subarray(0, 20),
      whole.subarray(0, -4),
      Buffer.concat([whole, Buffer.from("more")]),
    ]) {
      const { guest, link } = await openFakeGuest();
      const copy = collect((await link).copyOut(parseGuestPath("/x")));
      await guest.next();
      guest.send("stdout", 1, bytes);
      guest.send("stdout", 1, Buffer.alloc(0));
      await expect(copy).rejects.toMatchObject({ code: "protocol.message" });
      expect(await (await link).closed).toMatchObject({ code: "protocol.message" });
      guest.socket.destroy();
    }
  });
});

describe("host trees", () => {
  it("never lose a race against a guest that swaps a directory for a link", async () => {
    const within = await temporary();
    const outside = await temporary();
    await writeFile(join(outside, "file"), "outside");
    await mkdir(join(within, "dir"));
    await writeFile(join(within, "dir/file"), "inside");
    await symlink(outside, join(within, "link"));
    const script = `cd "$0" && while :; do mv dir real; mv -T link dir; mv -T dir link; mv real dir; done`;
    const swapper = spawn("sh", ["-c", script, within], { stdio: "ignore" });
    const seen = new Set<string>();
    const until = performance.now() + 2_000;
    while (performance.now() < until) {
      const file = under(within, "dir/file");
      const [read] = await Promise.allSettled([
        contentAt(file, within).then((content) => seen.add(content)),
        collect(readHostTree(within)),
        writeHostTree(under(within, "dir/new"), [fileItem("", "x")], { within }),
      ]);
      seen.add(read.status);
    }
    swapper.kill("SIGKILL");
    expect([...seen].sort()).toEqual(["fulfilled", "inside", "rejected"]);
    expect(await describeTree(outside)).toEqual(["directory  700 ", "file file 644 outside"]);
  });

  it("are bounded in entries and bytes", async () => {
    const dir = await temporary();
    const many = [fileItem("a", "12345"), fileItem("b", "12345")];
    await expect(writeHostTree(under(dir, "x"), many, { maxEntries: 1 })).rejects.toMatchObject({
      code: "usage.path",
    });
    const two = [fileItem("a", "12345"), fileItem("b", "12345")];
    await expect(writeHostTree(under(dir, "y"), two, { maxBytes: 9 })).rejects.toMatchObject({
      code: "usage.path",
    });
  });

  it("refuse to replace anything but a plain file, and leave no half file", async () => {
    const dir = await temporary();
    await symlink("/etc/passwd", join(dir, "link"));
    await mkdir(join(dir, "directory"));
    for (const path of ["link", "directory"]) {
      await expect(writeHostTree(dir, [fileItem(path, "x")])).rejects.toMatchObject({
        code: "usage.path",
      });
    }
    const short: ArchiveItem = {
      ...fileItem("half", "x"),
      entry: { kind: "entry", type: "file", path: "half", mode: 0o644, size: 5 },
    };
    await expect(writeHostTree(dir, [short])).rejects.toMatchObject({ code: "usage.path" });
    expect(await describeTree(dir)).toEqual([
      "directory  700 ",
      "directory directory 755 ",
      "symlink link /etc/passwd",
    ]);
    expect(await readlink(join(dir, "link"))).toBe("/etc/passwd");
  });

  it("in a guest's own directory are reached without any link", async () => {
    const within = await temporary();
    const outside = await temporary();
    await writeFile(join(outside, "secret"), "s");
    await mkdir(join(within, "real"));
    await writeFile(join(within, "real/file"), "f");
    await symlink(outside, join(within, "link"));
    expect((await collect(readHostTree(under(within, "real/file"), { within }))).length).toBe(1);
    await expect(
      collect(readHostTree(under(within, "link/secret"), { within })),
    ).rejects.toBeInstanceOf(Error);
    await expect(collect(readHostTree(under(within, "../x"), { within }))).rejects.toMatchObject({
      code: "usage.path",
    });
    await expect(
      writeHostTree(under(within, "link/new"), [fileItem("", "x")], { within }),
    ).rejects.toBeInstanceOf(Error);
    await expect(
      writeHostTree(under(within, "link"), [fileItem("new", "x")], { within }),
    ).rejects.toBeInstanceOf(Error);
    await writeHostTree(under(within, "made/new"), [fileItem("", "x")], {
      within,
      makesParents: true,
    });
    expect(await readFile(join(within, "made/new"), "utf8")).toBe("x");
    expect(await describeTree(outside)).toHaveLength(2);
  });

  it("may be the root of the file system's own child directories, links and deep paths", async () => {
    const dir = await temporary();
    const deep = "d/".repeat(150).slice(0, -1);
    expect(await writeHostTree(dir, [fileItem(`${deep}/f`, "x")])).toBe(1);
    expect((await describeTree(dir)).length).toBe(152);
    await expect(writeHostTree(dir, [fileItem(`${"e/".repeat(300)}f`, "x")])).rejects.toMatchObject(
      { code: "usage.path" },
    );
    await symlink("target", join(dir, "root-link"));
    expect(await describeTree(join(dir, "root-link"))).toEqual(["symlink  target"]);
  });
});
