// The archive on the wire: what is encoded comes back, and nothing that leaves its root is passed on.
import { Readable } from "node:stream";
import { describe, expect, it } from "vitest";
import type { TreeEntry, TreeItem } from "../base/tree.ts";
import { decodeArchive, encodeArchive } from "./archive.ts";

const directory = (path: string): TreeItem => ({
  entry: { kind: "entry", type: "directory", path, mode: 0o755 },
  content: undefined,
});
const link = (path: string, target: string): TreeItem => ({
  entry: { kind: "entry", type: "symlink", path, target },
  content: undefined,
});
const file = (path: string, content: string, size = Buffer.byteLength(content)): TreeItem => ({
  entry: { kind: "entry", type: "file", path, mode: 0o644, size },
  content: Readable.from([Buffer.from(content)]),
});

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

type Seen = TreeEntry & { readonly text?: string };

async function decode(bytes: Buffer, step = bytes.length || 1): Promise<Seen[]> {
  const pieces = Array.from({ length: Math.ceil(bytes.length / step) }, (_, n) =>
    bytes.subarray(n * step, (n + 1) * step),
  );
  const seen: Seen[] = [];
  for await (const { entry, content } of decodeArchive(Readable.from(pieces))) {
    const chunks = content === undefined ? undefined : await collect(content);
    seen.push(chunks === undefined ? entry : { ...entry, text: Buffer.concat(chunks).toString() });
  }
  return seen;
}

async function encode(items: readonly TreeItem[]): Promise<Buffer> {
  return Buffer.concat(await collect(encodeArchive(items)));
}

const tree = (): TreeItem[] => [
  directory(""),
  directory("ä/ü"),
  file("ä/empty", ""),
  file("ä/ü/x\n", "content"),
  link("l", "../../etc"),
];

it.each([1, 5, 4096])("comes back when cut every %d bytes", async (step) => {
  const seen = await decode(await encode(tree()), step);
  expect(seen.map((it) => `${it.type} ${it.path} ${it.text ?? ""}`)).toEqual([
    "directory  ",
    "directory ä/ü ",
    "file ä/empty ",
    "file ä/ü/x\n content",
    "symlink l ",
  ]);
});

it("skips content that was not read", async () => {
  const paths: string[] = [];
  const bytes = await encode([file("a", "x".repeat(100_000)), file("b", "y")]);
  for await (const { entry } of decodeArchive(Readable.from([bytes]))) paths.push(entry.path);
  expect(paths).toEqual(["a", "b"]);
});

it("is not made of content that is longer or shorter than its size", async () => {
  await expect(encode([file("a", "four", 3)])).rejects.toMatchObject({ code: "protocol.message" });
  await expect(encode([file("a", "four", 5)])).rejects.toMatchObject({ code: "protocol.message" });
});

describe("is refused", () => {
  const raw = (...entries: unknown[]): Buffer =>
    Buffer.concat(
      entries.flatMap((it) => {
        const json = Buffer.from(JSON.stringify(it));
        const length = Buffer.alloc(4);
        length.writeUInt32BE(json.length);
        return [length, json];
      }),
    );
  const entry = { kind: "entry", type: "directory", path: "a", mode: 0o755 };
  const end = Buffer.alloc(4);
  const cases: readonly [string, Buffer][] = [
    ["a path with ..", raw({ ...entry, path: "a/../../b" })],
    ["a path that begins with ..", raw({ ...entry, path: ".." })],
    ["an absolute path", raw({ ...entry, path: "/etc/passwd" })],
    ["an empty segment", raw({ ...entry, path: "a//b" })],
    ["a path that ends with a slash", raw({ ...entry, path: "a/" })],
    ["a dot", raw({ ...entry, path: "./a" })],
    ["a NUL", raw({ ...entry, path: "a\0b" })],
    ["a very deep path", raw({ ...entry, path: "a/".repeat(300).slice(0, -1) })],
    ["a very long path", raw({ ...entry, path: "a".repeat(5000) })],
    ["an unknown type", raw({ ...entry, type: "device" })],
    ["a negative size", raw({ ...entry, type: "file", size: -1 })],
    ["a size that is no integer", raw({ ...entry, type: "file", size: 1e300 })],
    ["an empty link target", raw({ kind: "entry", type: "symlink", path: "a", target: "" })],
    ["a number", raw(1)],
    ["an entry that is not JSON", Buffer.concat([Buffer.from([0, 0, 0, 1]), Buffer.from("{")])],
    ["an entry over its bound", Buffer.from([0x7f, 0, 0, 0])],
    ["bytes after its end", Buffer.concat([end, Buffer.from("x")])],
    ["a missing end", raw(entry)],
    ["a cut content", Buffer.concat([raw({ ...entry, type: "file", size: 10 }), Buffer.from("x")])],
    ["nothing", Buffer.alloc(0)],
  ];

  it.each(cases)("when it has %s", async (_, bytes) => {
    await expect(decode(bytes)).rejects.toMatchObject({ code: "protocol.message" });
  });
});
