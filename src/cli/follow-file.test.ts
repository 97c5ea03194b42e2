import { appendFile, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { followFile } from "./follow-file.ts";

let root: string;
let file: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "bot-bottle-follow-"));
  file = join(root, "log");
});
afterEach(() => rm(root, { recursive: true, force: true }));

async function textOf(pieces: AsyncIterable<Buffer>): Promise<string> {
  const all: Buffer[] = [];
  for await (const piece of pieces) all.push(piece);
  return Buffer.concat(all).toString();
}
const signal = new AbortController().signal;

describe("followFile", () => {
  it("reads to the present end, or nothing where there is no file", async () => {
    expect(await textOf(followFile(file, { signal }))).toBe("");
    await writeFile(file, "x".repeat(200_000));
    expect(await textOf(followFile(file, { signal }))).toHaveLength(200_000);
  });

  it("misses nothing that was written before it was over", async () => {
    let looks = 0;
    const isOver = async (): Promise<boolean> => {
      looks += 1;
      await appendFile(file, `${looks};`);
      return looks === 3;
    };
    expect(await textOf(followFile(file, { signal, isOver }))).toBe("1;2;3;");
  });

  it("ends when the signal aborts, and follows no link", async () => {
    const cancel = new AbortController();
    const isOver = (): boolean => {
      cancel.abort();
      return false;
    };
    expect(await textOf(followFile(file, { signal: cancel.signal, isOver }))).toBe("");
    await symlink("/etc/passwd", file);
    await expect(textOf(followFile(file, { signal }))).rejects.toMatchObject({ code: "ELOOP" });
  });
});
