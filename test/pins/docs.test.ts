// What the written part says about the code is there in the code: links, commands, reason codes, variables.
import { existsSync, globSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { COMMANDS } from "../../src/cli/commands/table.ts";

const root = join(import.meta.dirname, "../..");
const read = (file: string): string => readFileSync(join(root, file), "utf8");
const pages = globSync("{*.md,docs/**/*.md,examples/README.md}", { cwd: root }).sort();

/** The anchors that a page has: explicit ones and those of its headings. */
function anchorsOf(text: string): ReadonlySet<string> {
  const explicit = [...text.matchAll(/<a id="([^"]+)"/g)].map((it) => it[1] ?? "");
  const headings = [...text.matchAll(/^#+ (.+)$/gm)].map((it) =>
    (it[1] ?? "")
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, "")
      .replaceAll(" ", "-"),
  );
  return new Set([...explicit, ...headings]);
}

function brokenLinks(page: string): readonly string[] {
  const links = [...read(page).matchAll(/\]\(([^)\s]+)\)/g)].map((it) => it[1] ?? "");
  return links.filter((link) => {
    if (/^https?:/.test(link)) return false;
    const [path = "", anchor] = link.split("#");
    const file = path === "" ? join(root, page) : resolve(root, dirname(page), path);
    if (!existsSync(file)) return true;
    return anchor !== undefined && !anchorsOf(readFileSync(file, "utf8")).has(anchor);
  });
}

describe("documentation", () => {
  it.each(pages)("%s links to what exists", (page) => {
    expect(brokenLinks(page)).toEqual([]);
  });

  it.each(pages)("%s shows commands that exist", (page) => {
    const known = new Set(COMMANDS.map(({ name }) => name));
    const shown = [...read(page).matchAll(/^(?:\$ |npx |\.\/bin\/)?bot-bottle ([a-z]+)/gm)];
    expect(shown.map((it) => it[1] ?? "").filter((name) => !known.has(name))).toEqual([]);
  });

  it("explains every reason code of egress", () => {
    const union = /export type ReasonCode =([^;]+);/.exec(read("src/policy/verdict.ts"))?.[1] ?? "";
    const codes = [...union.matchAll(/"([a-z-]+)"/g)].map((it) => it[1] ?? "");
    const rows = [...read("docs/sidecars/egress.md").matchAll(/^\| `([a-z-]+)` \|/gm)];
    expect(codes.length).toBeGreaterThan(10);
    expect(rows.map((it) => it[1]).filter((code) => codes.includes(code ?? ""))).toEqual(codes);
  });

  it("explains every variable that the CLI or its helpers read", () => {
    const files = globSync("{src/{cli,demo,providers}/**/*.ts,scripts/*.sh,bin/*}", { cwd: root });
    const text = files.map(read).join("\n");
    const names = new Set(text.match(/\bBOT_BOTTLE_[A-Z]+(?:_[A-Z]+)*\b/g));
    const page = read("docs/operations.md");
    expect([...names].filter((name) => !page.includes(name))).toEqual([]);
  });

  it("has a record for each line of the index of decisions", () => {
    const index = read("docs/decisions/README.md");
    const records = globSync("[0-9]*.md", { cwd: join(root, "docs/decisions") }).sort();
    const linked = [...index.matchAll(/\]\(([0-9][^)]*)\)/g)].map((it) => it[1]);
    expect(linked).toEqual(records);
  });
});
