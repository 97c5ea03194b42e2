import { describe, expect, it } from "vitest";
import { parseDockerignore } from "./dockerignore.ts";

const kept = (text: string, paths: readonly string[]): readonly string[] => {
  const ignores = parseDockerignore(text, ["Dockerfile"]);
  return paths.filter((path) => !ignores(path));
};

describe("a .dockerignore file", () => {
  it("leaves out what it names, and all below it", () => {
    expect(kept("node_modules\n/dist/\n", ["node_modules/a/b", "dist", "src/dist", "a"])).toEqual([
      "src/dist",
      "a",
    ]);
  });

  it("knows wildcards within one name and across directories", () => {
    const paths = ["a.md", "b/a.md", "c/d/a.md", "ab.txt", "a1", "ax"];
    expect(kept("*.md", paths)).not.toContain("a.md");
    expect(kept("*.md", paths)).toContain("b/a.md");
    expect(kept("**/*.md", paths)).toEqual(["ab.txt", "a1", "ax"]);
    expect(kept("a?.txt", paths)).not.toContain("ab.txt");
    expect(kept("a[0-9]", paths)).toEqual(["a.md", "b/a.md", "c/d/a.md", "ab.txt", "ax"]);
    expect(kept("a[^0-9]", paths)).toContain("a1");
  });

  it("lets the last matching pattern decide", () => {
    expect(kept("*\n!keep\nkeep/not\n", ["a", "keep", "keep/x", "keep/not"])).toEqual([
      "keep",
      "keep/x",
    ]);
  });

  it("reads comments, spaces, dots and literal characters as the docker command does", () => {
    expect(kept("# a\n\n  ./b/../c  \n", ["# a", "b", "c"])).toEqual(["# a", "b"]);
    expect(kept("a+(b)", ["a+(b)", "aab"])).toEqual(["aab"]);
    expect(kept("\\*", ["*", "a"])).toEqual(["a"]);
    expect(kept("a[", ["a[", "a"])).toEqual(["a"]);
  });

  it("takes whole directories for two stars and a slash", () => {
    expect(kept("a/**/b", ["a/b", "a/x/b", "a/x/y/b", "a/xb", "ab"])).toEqual(["a/xb", "ab"]);
    expect(kept("**/a", ["a", "x/a/y", "xa"])).toEqual(["xa"]);
    expect(kept("a/**", ["a", "a/b", "a/b/c"])).toEqual(["a"]);
    expect(kept("**", ["a", "a/b"])).toEqual([]);
  });

  it("answers at once, whatever the pattern", () => {
    const path = `${"a/".repeat(500)}${"a".repeat(255)}`;
    const started = performance.now();
    for (const part of ["*a", "**/a", "**a", "?*"])
      expect(kept(`${part.repeat(30)}b`, [path])).toEqual([path]);
    expect(performance.now() - started).toBeLessThan(2_000);
  });

  it("never leaves out what the build cannot do without", () => {
    expect(kept("*", ["Dockerfile", "a"])).toEqual(["Dockerfile"]);
  });
});
