import { describe, expect, it } from "vitest";
import { parseHostPath } from "../base/ids.ts";
import type { ContextEntry } from "./contract.ts";
import { imageKey } from "./image-key.ts";

const file = (path: string, over: Partial<Extract<ContextEntry, { kind: "file" }>> = {}) =>
  ({
    kind: "file",
    path,
    mode: 0o644,
    hostPath: parseHostPath(`/somewhere/${path}`),
    size: 3,
    digest: "abc",
    ...over,
  }) as const;

const BUILD = { dockerfile: "Dockerfile", args: { BASE_IMAGE: "base:1", BUILD_CA: "ca" } };
const ENTRIES = [file("Dockerfile"), file("b"), { kind: "link", path: "c", target: "b" }] as const;

describe("the key of an image", () => {
  it("does not depend on order, place or machine", () => {
    const moved = ENTRIES.toReversed().map((entry) =>
      entry.kind === "file" ? { ...entry, hostPath: parseHostPath("/elsewhere") } : entry,
    );
    const args = { BUILD_CA: "ca", BASE_IMAGE: "base:1" };
    expect(imageKey({ ...BUILD, args }, moved)).toBe(imageKey(BUILD, ENTRIES));
  });

  it("stays what it is from version to version, or every user builds again", () => {
    expect(imageKey(BUILD, ENTRIES)).toMatchInlineSnapshot(
      `"dcabc7b9c9469ab05606eee4816acc01d5cae621"`,
    );
  });

  it.each([
    ["a content", BUILD, [file("Dockerfile"), file("b", { digest: "abd" })]],
    ["a mode", BUILD, [file("Dockerfile"), file("b", { mode: 0o755 })]],
    ["a name", BUILD, [file("Dockerfile"), file("d")]],
    ["a link's target", BUILD, [...ENTRIES.slice(0, 2), { kind: "link", path: "c", target: "d" }]],
    ["a file less", BUILD, [file("Dockerfile")]],
    ["an argument", { ...BUILD, args: { BASE_IMAGE: "base:2", BUILD_CA: "ca" } }, ENTRIES],
    ["an argument less", { ...BUILD, args: { BASE_IMAGE: "base:1" } }, ENTRIES],
    ["another Dockerfile", { ...BUILD, dockerfile: "b" }, ENTRIES],
  ] as const)("changes with %s", (_what, build, entries) => {
    expect(imageKey(build, entries)).not.toBe(imageKey(BUILD, ENTRIES));
  });

  it("cannot be the same for names that run into each other", () => {
    const one = imageKey(BUILD, [file("ab", { digest: "c" })]);
    expect(imageKey(BUILD, [file("a", { digest: "bc" })])).not.toBe(one);
  });
});
