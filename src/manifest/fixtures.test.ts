// The manifest files under test/fixtures/manifests: each bad one lists in its body every issue that it must give.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { Issue } from "../base/errors.ts";
import { parseHostPath } from "../base/ids.ts";
import { resolveEffective } from "./effective.ts";
import { invalid } from "./issues.ts";
import { parseAgent } from "./parse-agent.ts";
import { parseBottle } from "./parse-bottle.ts";

const fixtures = join(import.meta.dirname, "../../test/fixtures/manifests");
const userHome = parseHostPath("/home/me");

function issuesOf(folder: string, name: string): readonly Issue[] {
  const text = readFileSync(join(fixtures, folder, name), "utf8");
  const source = { name: "x", file: `/m/${name}`, text };
  return name.endsWith(".agent.md")
    ? parseAgent(source, { origin: "repository", digest: "0" }).issues
    : parseBottle(source, userHome).issues;
}

describe("good files", () => {
  it.each(readdirSync(join(fixtures, "good")))("%s has no issue", (name) => {
    expect(issuesOf("good", name)).toEqual([]);
  });

  it("reads every field of a bottle", () => {
    const text = readFileSync(join(fixtures, "good/everything.bottle.md"), "utf8");
    const { layer } = parseBottle({ name: "all", file: "/m/bottles/all.md", text }, userHome);
    expect(layer).toBeDefined();
    const bottle = resolveEffective(layer!);
    expect(bottle).toMatchSnapshot();
  });

  it("takes a prompt from the body, stripped, dashes included", () => {
    const text = readFileSync(join(fixtures, "good/subagent.agent.md"), "utf8");
    const source = { name: "reviewer", file: "/m/agents/reviewer.md", text };
    const { agent } = parseAgent(source, { origin: "home", digest: "d" });
    expect(agent).toEqual({
      name: "reviewer",
      bottle: "web",
      skills: ["code-review", "tests"],
      gitUser: { name: undefined, email: "review@example.com" },
      prompt: "You review code.\n\n---\n\nA line of dashes is part of the prompt.",
      origin: "home",
      file: "/m/agents/reviewer.md",
      digest: "d",
    });
  });
});

describe("bad files", () => {
  it.each(readdirSync(join(fixtures, "bad")))("%s gives all of its issues at once", (name) => {
    const text = readFileSync(join(fixtures, "bad", name), "utf8");
    const expected = [...text.matchAll(/^> (\d+:\d+: .*)$/gm)].map((match) => match[1]);
    const found = issuesOf("bad", name).map((it) => `${it.line}:${it.column}: ${it.message}`);
    expect(expected.length).toBeGreaterThan(0);
    expect(found).toEqual(expected);
  });

  it("reports eight different faults with their places, and points to the first", () => {
    const issues = issuesOf("bad", "eight.bottle.md");
    expect(issues.map((it) => [it.line, it.column, it.path])).toEqual([
      [2, 1, "evn"],
      [4, 3, "env.HTTPS_PROXY"],
      [5, 9, "env.PORT"],
      [7, 8, "egress.log"],
      [9, 13, "egress.routes[0].host"],
      [11, 7, "egress.routes[1].auth.scheme"],
      [12, 7, "egress.routes[1].path_allowlist"],
      [14, 11, "limits.memory"],
    ]);
    const error = invalid(issues);
    expect(error.code).toBe("manifest.invalid");
    expect(error.issues).toHaveLength(8);
    expect(error.message).toMatch(
      /^manifest invalid: 8 faults\n {2}\/m\/eight\.bottle\.md:2:1: evn/,
    );
    expect(error.hint).toBe("edit /m/eight.bottle.md:2");
  });

  it("says one fault in one line with the edit to make", () => {
    const text = "---\negress:\n  rutes: []\n---\n";
    const { issues } = parseBottle({ name: "x", file: "bottles/web.md", text }, userHome);
    const error = invalid(issues);
    expect(error.message).toBe(
      "manifest invalid: bottles/web.md:3:3: egress.rutes is not a key; did you mean egress.routes",
    );
    expect(error.hint).toBe("edit bottles/web.md:3");
  });
});

describe("what an issue never says", () => {
  const SECRET = "hunter2-0123456789";
  it.each([
    `env: {A: [${SECRET}]}`,
    `env: {A: "${SECRET}\\n"}`,
    `env: {A: "?\\e${SECRET}"}`,
    `env: ${SECRET}`,
    `agent_provider: {auth_token: ${SECRET}}`,
    `agent_provider: {auth_token: {name: ${SECRET}, file: x}}`,
    `agent_provider: {settings: ${SECRET}}`,
    `egress: {routes: [{host: a.example, auth: {scheme: Bearer, token_ref: ${SECRET}}}]}`,
    `egress: {routes: [{host: a.example, matches: [{headers: [{name: A, value: "${SECRET}\\n"}]}]}]}`,
    `egress: {upstream_proxy: "http://u:${SECRET}@p.example"}`,
    `git-gate: {repos: {a: {url: "ssh://git:${SECRET}@h.example/a"}}}`,
    `git-gate: {repos: {a: {url: ssh://git@h.example/a, key: {provider: gitea, forge_token_env: ${SECRET}}}}}`,
    `env:\n  A: "${SECRET}\n  B: [`,
    `env: &${SECRET} {A: *${SECRET}}`,
    `env: !${SECRET} x`,
  ])("a value that may be a secret: %s", (yaml) => {
    const { issues } = parseBottle(
      { name: "x", file: "x.md", text: `---\n${yaml}\n---\n` },
      userHome,
    );
    expect(issues).not.toEqual([]);
    expect(JSON.stringify(issues)).not.toContain(SECRET);
  });

  it("control characters, nor more of a value than a line holds", () => {
    const text = `---\nbackend: "\\e[2J${"x".repeat(5000)}"\n"k\\e[2J${"y".repeat(900)}": 1\n---\n`;
    const { issues } = parseBottle({ name: "x", file: "x.md", text }, userHome);
    expect(issues).toHaveLength(2);
    for (const issue of issues) {
      expect(issue.message).not.toContain("\u001b");
      expect(issue.message.length).toBeLessThan(400);
    }
  });
});
