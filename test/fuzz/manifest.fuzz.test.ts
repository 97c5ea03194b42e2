// Manifest files are hostile: a clone brings agents. Whatever the bytes, parsing ends, never throws, and points into the file.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Issue } from "../../src/base/errors.ts";
import { parseHostPath } from "../../src/base/ids.ts";
import { resolveEffective } from "../../src/manifest/effective.ts";
import { resolveBottles } from "../../src/manifest/extends.ts";
import { MAX_AGENT_BLOCK, MAX_BOTTLE_BLOCK } from "../../src/manifest/frontmatter.ts";
import { invalid } from "../../src/manifest/issues.ts";
import { parseAgent } from "../../src/manifest/parse-agent.ts";
import { parseBottle } from "../../src/manifest/parse-bottle.ts";
import { decodeText } from "../../src/manifest/source.ts";

const userHome = parseHostPath("/home/me");
const PARAMETERS = { seed: 20260, numRuns: 400 };

function judge(text: string): void {
  const lines = text.split("\n");
  const source = { name: "x", file: "x.md", text };
  const bottle = parseBottle(source, userHome);
  const agent = parseAgent(source, { origin: "repository", digest: "" });
  for (const [result, issues] of [
    [bottle.layer, bottle.issues],
    [agent.agent, agent.issues],
  ] as const) {
    expect(result === undefined).toBe(issues.length > 0);
    for (const issue of issues) checkIssue(issue, lines);
    if (issues.length > 0) expect(invalid(issues).code).toBe("manifest.invalid");
  }
  const parsed = new Map([["x", bottle]]);
  const { layer } = resolveBottles(["x"], { parsed, names: ["x"] });
  if (layer !== undefined) resolveEffective(layer);
}

function checkIssue(issue: Issue, lines: readonly string[]): void {
  const line = lines[issue.line - 1];
  expect(line).toBeDefined();
  expect(issue.column).toBeGreaterThanOrEqual(1);
  expect(issue.column).toBeLessThanOrEqual((line ?? "").length + 1);
  expect(issue.message).not.toMatch(/[\u0000-\u001f\u007f-\u009f]/);
}

const fixtures = join(import.meta.dirname, "../fixtures/manifests");
const seeds = ["good", "bad"].flatMap((folder) =>
  readdirSync(join(fixtures, folder)).map((name) =>
    readFileSync(join(fixtures, folder, name), "utf8"),
  ),
);

const WORDS =
  "env|egress|routes|host|auth|scheme|token_ref|matches|paths|git-gate|repos|key|extends|limits|mounts|settings|__proto__|constructor|toString|Bearer|~|null|true|1e999|.nan|-|? |: |, |[|]|{|}|&a|*a|!t|!!binary|%YAML|---|...|'|\"|\n|  |\t|#|\\|>|@|`|\u0000|\u2028|\ufeff|é".split(
    "|",
  );

describe("any text", () => {
  it("as the YAML block", () => {
    const soup = fc.array(fc.constantFrom(...WORDS), { maxLength: 60 });
    const text = fc.oneof(
      soup.map((it) => it.join("")),
      soup.map((it) => it.join(" ")),
      fc.string(),
    );
    fc.assert(
      fc.property(text, (yaml) => judge(`---\n${yaml}\n---\nbody`)),
      PARAMETERS,
    );
  });

  it("as the whole file, decoded or refused", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        const text = decodeText(bytes, "x.md");
        if (typeof text === "string") judge(text);
        else expect(text.line).toBeGreaterThanOrEqual(1);
      }),
      PARAMETERS,
    );
  });
});

describe("a known file with a change", () => {
  it("is judged", () => {
    const change = fc.record({
      seed: fc.constantFrom(...seeds),
      at: fc.double({ min: 0, max: 1, noNaN: true }),
      cut: fc.nat({ max: 40 }),
      insert: fc.oneof(fc.constantFrom(...WORDS), fc.string({ maxLength: 8 })),
    });
    fc.assert(
      fc.property(change, ({ seed, at, cut, insert }) => {
        const start = Math.floor(at * seed.length);
        judge(seed.slice(0, start) + insert + seed.slice(start + cut));
      }),
      PARAMETERS,
    );
  });

  it("with any data in the place of a value", () => {
    const keys = fc.constantFrom(
      ..."extends env agent_provider git-gate egress supervise backend limits mounts runtime bottle skills".split(
        " ",
      ),
    );
    const data = fc.dictionary(keys, fc.jsonValue({ maxDepth: 4 }), { maxKeys: 6 });
    fc.assert(
      fc.property(data, (it) => judge(`---\n${JSON.stringify(it)}\n---\n`)),
      PARAMETERS,
    );
  });
});

describe("the largest block", () => {
  const fill = (part: string): string => part.repeat(Math.floor(MAX_AGENT_BLOCK / part.length));
  const numbered = (line: (i: number) => string): string => {
    let text = "";
    for (let i = 0; text.length < MAX_BOTTLE_BLOCK - 100; i++) text += line(i);
    return text;
  };
  const file = (yaml: string): string => `---\n${yaml}\n---\n`;

  it.each([
    ["brackets", fill("[")],
    ["braces", fill("{")],
    ["dashes", fill("- ")],
    ["questions", fill("? ")],
    ["colons", fill("a: ")],
    ["commas", `[${fill(",")}`],
    ["anchors", fill("&a ")],
    ["tags", fill("!a ")],
    ["aliases", `a: &a [x]\nb: [${fill("*a,")}]`],
    ["quotes", fill('"')],
    ["escapes", `"${fill("\\x")}"`],
    ["comments", fill("#\n")],
    ["documents", fill("...\n")],
    ["flow maps", fill("{a: [")],
    ["one key again", fill("env: {}\n")],
    ["a long value", `bottle: ${fill("x")}`],
    ["a long key", `? ${fill("x")}\n: 1`],
  ])("of an agent, full of %s", (_, yaml) => {
    const text = file(yaml.slice(0, MAX_AGENT_BLOCK - 2));
    judge(text);
  });

  it.each([
    ["distinct keys", numbered((i) => `k${i}: 1\n`)],
    ["variables", `env:\n${numbered((i) => ` V${i}: "x"\n`)}`],
    ["routes", `egress:\n routes:\n${numbered((i) => ` - host: h${i}.example\n`)}`],
    ["one route again", `egress:\n routes:\n${numbered(() => " - host: h.example\n")}`],
    ["labels", `egress: {routes: [{host: "${numbered(() => "a.")}"}]}`],
    ["wide characters", `egress: {routes: [{host: "${numbered(() => "é")}"}]}`],
  ])("of a bottle, full of %s", (_, yaml) => {
    const source = { name: "x", file: "x.md", text: file(yaml) };
    parseBottle(source, userHome);
  });

  it("is refused when it is larger, unread", () => {
    const text = file(numbered(() => "[".repeat(1000)).repeat(2));
    expect(parseBottle({ name: "x", file: "x.md", text }, userHome).issues).toHaveLength(1);
    judge(text);
  });
});
