// Small values: sizes, near words, paths of both sides.
import { describe, expect, it } from "vitest";
import { parseHostPath } from "../base/ids.ts";
import { contains, expandHostPath, parseGuestMount, parsePathText } from "./host-paths.ts";
import { nearest } from "./nearest.ts";
import { isOpenToStrangers } from "./public-suffix.ts";
import { parsePathMatch } from "./request-parts.ts";
import { parseSize } from "./sizes.ts";
import { decodeText } from "./source.ts";
import { parseEnvValue } from "./user-text.ts";

describe("sizes", () => {
  it.each([
    ["4GiB", 4 * 1024 ** 3],
    ["512 MiB", 512 * 1024 ** 2],
    ["1.5KiB", 1536],
    ["20GB", 20e9],
    ["7", 7],
    [4096, 4096],
  ])("%s is %i bytes", (text, bytes) => {
    expect(parseSize(text)).toEqual({ kind: "ok", value: bytes });
  });

  it.each(["", "0", "-1", "4g", "4gib", "1e9", "GiB", "99999999TiB", "0.1B", "1 2"])(
    "%j is none",
    (text) => {
      expect(parseSize(text).kind).toBe("fault");
    },
  );
});

it.each([
  ["alow", "allow"],
  ["Egress", "egress"],
  ["git_gate", "git-gate"],
  ["hsot", "host"],
  ["x", undefined],
  ["zebra", undefined],
])("the word near %s is %s", (word, expected) => {
  expect(nearest(word, ["allow", "egress", "git-gate", "host", "y"])).toBe(expected);
});

describe("paths", () => {
  const base = { userHome: parseHostPath("/home/me"), file: "/home/me/.bot-bottle/bottles/web.md" };
  it.each([
    ["~", "/home/me"],
    ["~/x", "/home/me/x"],
    ["~/../you", "/home/you"],
    ["/a/../b", "/b"],
    ["Dockerfile", "/home/me/.bot-bottle/bottles/Dockerfile"],
    ["../shared/x", "/home/me/.bot-bottle/shared/x"],
  ])("%s is %s", (text, expected) => {
    expect(expandHostPath(text, base)).toBe(expected);
  });

  it.each(["", " ", "~you/x", "a\u0000", "a\nb"])("%j is no path", (text) => {
    expect(parsePathText(text).kind).toBe("fault");
  });

  it("contains what lies below, not what begins alike", () => {
    expect(contains("/a", "/a/b")).toBe(true);
    expect(contains("/", "/a")).toBe(true);
    expect(contains("/a", "/a")).toBe(true);
    expect(contains("/a", "/ab")).toBe(false);
    expect(contains("/a/b", "/a")).toBe(false);
  });

  it.each([
    "/",
    "//",
    "/.",
    "/proc",
    "/proc/self",
    "/etc/x",
    "/usr/local",
    "/home/node",
    "/tmp",
    "ref",
    "/a/../b",
    "/a:b",
    "/a\n",
  ])("%j is no place for a mount", (text) => {
    expect(parseGuestMount(text).kind).toBe("fault");
  });

  it.each([
    ["/ref/", "/ref"],
    ["//srv//x", "/srv/x"],
    ["/home/node/notes", "/home/node/notes"],
  ])("a mount at %s is at %s", (text, expected) => {
    expect(parseGuestMount(text)).toEqual({ kind: "ok", value: expected });
  });
});

it.each([
  ["exact", "/a%2fb", "/a%2Fb"],
  ["exact", "/%61?", undefined],
  ["prefix", "/%61/", "/a/"],
  ["prefix", "/a b", undefined],
  ["prefix", "/caf\u00e9", undefined],
  ["prefix", "/a//b", undefined],
  ["exact", "/a|b", "/a%7Cb"],
  ["glob", "/a/*.txt", "/a/*.txt"],
  ["glob", "/a/{b,c}", undefined],
  ["regex", "/v[0-9]+/.*", "/v[0-9]+/.*"],
  ["regex", "(?=a)b", undefined],
] as const)("a path rule %s %s is kept as %s", (type, value, kept) => {
  const parsed = parsePathMatch({ type, value });
  expect(parsed.kind === "ok" ? parsed.value.value : undefined).toBe(kept);
});

it.each([
  ["example.com", false],
  ["corp.test", false],
  ["co.uk", true],
  ["github.io", true],
  ["s3.amazonaws.com", true],
  ["kawasaki.jp", true],
  ["bucket.s3.amazonaws.com", false],
])("below %s strangers have names: %s", (host, expected) => {
  expect(isOpenToStrangers(host)).toBe(expected);
});

it.each([
  ["plain", { kind: "literal", value: "plain" }],
  ["", { kind: "literal", value: "" }],
  ["${A_1}", { kind: "host", variable: "A_1" }],
  ["x${A}", { kind: "literal", value: "x${A}" }],
  ["${1A}", { kind: "literal", value: "${1A}" }],
  ["?", { kind: "prompt", message: "" }],
  ["? the token ", { kind: "prompt", message: "the token" }],
])("env entry %j", (text, value) => {
  expect(parseEnvValue(text)).toEqual({ kind: "ok", value });
});

it("names the line that is not UTF-8", () => {
  const bytes = Buffer.concat([
    Buffer.from("---\né\n"),
    Buffer.from([0xff]),
    Buffer.from("\n---\n"),
  ]);
  expect(decodeText(bytes, "x.md")).toMatchObject({ file: "x.md", line: 3, column: 1 });
  expect(decodeText(Buffer.from("é\n"), "x.md")).toBe("é\n");
});
