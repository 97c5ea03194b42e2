// What goes to an image build: any names, sizes and links arrive as the system's tar reads them, and any .dockerignore is answered.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { lstatSync, mkdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { expect, it } from "vitest";
import { parseHostPath } from "../../src/base/ids.ts";
import type { ContextEntry } from "../../src/images/contract.ts";
import { parseDockerignore } from "../../src/images/dockerignore.ts";
import { encodeTar } from "../../src/images/tar.ts";
import { tempDir } from "../support/temp-dir.ts";

const SEED = 20_261_121;

/** Names that fit and that do not: long, of several bytes a character, with spaces and signs that tar gives a meaning to. */
const name = fc
  .oneof(
    fc.string({
      unit: fc.constantFrom(...Array.from("abcü字\n =*\\-")),
      minLength: 1,
      maxLength: 60,
    }),
    fc.string({ unit: fc.constantFrom(...Array.from("xyz")), minLength: 95, maxLength: 130 }),
  )
  .filter((it) => !it.startsWith("."));
const path = fc.array(name, { minLength: 1, maxLength: 3 }).map((parts) => parts.join("/"));
const content = fc.uint8Array({ maxLength: 1_100 });
const mode = fc.constantFrom(0o644, 0o755);
const entry = fc.oneof(
  fc.record({ kind: fc.constant("file" as const), path, mode, content }),
  fc.record({ kind: fc.constant("link" as const), path, target: path }),
  fc.record({ kind: fc.constant("directory" as const), path, mode: fc.constant(0o755) }),
);
type Made = typeof entry extends fc.Arbitrary<infer T> ? T : never;

/** No path twice, and nothing below what is not a directory. */
const tree = fc
  .uniqueArray(entry, { maxLength: 8, selector: (it) => it.path })
  .map((all) => all.filter((it) => !all.some((other) => it.path.startsWith(`${other.path}/`))));

async function archiveOf(all: readonly Made[]): Promise<Buffer> {
  const contents = new Map<string, Uint8Array>();
  const entries = all.map((it): ContextEntry => {
    if (it.kind !== "file") return it;
    contents.set(it.path, it.content);
    const digest = createHash("sha256").update(it.content).digest("hex");
    const { kind, path, mode } = it;
    return { kind, path, mode, digest, size: it.content.length, hostPath: parseHostPath("/x") };
  });
  const blocks: Uint8Array[] = [];
  async function* contentOf(file: ContextEntry) {
    yield await Promise.resolve(contents.get(file.path) ?? new Uint8Array());
  }
  for await (const block of encodeTar(entries, contentOf)) blocks.push(block);
  return Buffer.concat(blocks);
}

it("the system's tar unpacks every context as it was", async () => {
  const root = tempDir("tar-");
  let run = 0;
  const property = fc.asyncProperty(tree, async (all) => {
    const into = join(root, String((run += 1)));
    mkdirSync(into);
    execFileSync("tar", ["-x", "-p", "-C", into, "-f", "-"], { input: await archiveOf(all) });
    for (const it of all) {
      const place = join(into, it.path);
      const info = lstatSync(place);
      if (it.kind === "link") expect(readlinkSync(place)).toBe(it.target);
      else expect(info.mode & 0o777).toBe(it.mode);
      if (it.kind === "file") expect(readFileSync(place)).toEqual(Buffer.from(it.content));
      if (it.kind === "directory") expect(info.isDirectory()).toBe(true);
    }
    rmSync(into, { recursive: true });
  });
  await fc.assert(property, { seed: SEED, numRuns: 120, interruptAfterTimeLimit: 4_000 });
});

it("a .dockerignore of anything is answered, the same each time", () => {
  const line = fc.string({
    unit: fc.constantFrom(...Array.from("ab/*?[]^!\\.# -")),
    maxLength: 40,
  });
  const text = fc.array(line, { maxLength: 6 }).map((lines) => lines.join("\n"));
  const asked = fc.string({
    unit: fc.constantFrom(...Array.from("ab/.*[")),
    minLength: 1,
    maxLength: 60,
  });
  const property = fc.property(text, asked, (ignored, some) => {
    const ignores = parseDockerignore(ignored, []);
    expect(ignores(some)).toBe(ignores(some));
    expect(parseDockerignore(`${ignored}\n**`, [])(some)).toBe(true);
    expect(parseDockerignore(`${ignored}\n!**`, [])(some)).toBe(false);
  });
  fc.assert(property, { seed: SEED, interruptAfterTimeLimit: 2_000, numRuns: 2_000 });
});
