// How bottles become one: children, several parents, several --bottle, diamonds and circles.
import { describe, expect, it } from "vitest";
import { parseHostPath } from "../base/ids.ts";
import { homePaths } from "../base/paths.ts";
import { checkEffective, resolveEffective } from "./effective.ts";
import { resolveBottles } from "./extends.ts";
import { parseBottle } from "./parse-bottle.ts";
import type { BottleSpec } from "./types.ts";

type Files = Readonly<Record<string, string>>;

const home = homePaths(parseHostPath("/home/me/.bot-bottle"));

function resolve(files: Files, ...names: string[]) {
  const parsed = new Map(
    Object.entries(files).map(([name, yaml]) => {
      const source = { name, file: `/b/${name}.md`, text: `---\n${yaml}\n---\n` };
      return [name, parseBottle(source, parseHostPath("/home/me"))] as const;
    }),
  );
  return resolveBottles(names, { parsed, names: [...parsed.keys()] });
}

function merged(files: Files, ...names: string[]): BottleSpec {
  const { layer, issues } = resolve(files, ...names);
  expect(issues).toEqual([]);
  return resolveEffective(layer!);
}

function messages(files: Files, ...names: string[]): readonly string[] {
  const { layer, issues } = resolve(files, ...names);
  const whole = layer === undefined ? [] : checkEffective(layer, home);
  return [...issues, ...whole].map((it) => `${it.file}:${it.line}: ${it.message}`);
}

const hosts = (bottle: BottleSpec): readonly string[] => bottle.egress.routes.map((it) => it.host);
const literals = (bottle: BottleSpec): unknown =>
  Object.fromEntries(
    Object.entries(bottle.env).map(([name, it]) => [name, it.kind === "literal" ? it.value : it]),
  );
const repo = (host: string, more = ""): string =>
  `{url: ssh://git@${host}/a.git, key: {path: /k}${more}}`;
const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH";

describe("defaults", () => {
  it("deny everything and let the agent ask", () => {
    expect(merged({ a: "" }, "a")).toEqual({
      names: ["a"],
      env: {},
      hostVariables: [],
      provider: {
        template: "claude",
        dockerfile: undefined,
        authToken: undefined,
        authKind: "bearer",
        forwardHostCredentials: false,
        settings: {},
      },
      backend: undefined,
      attachment: "auto",
      runtime: undefined,
      supervise: true,
      egress: {
        routes: [],
        resolve: {},
        upstreamCa: [],
        upstreamProxy: undefined,
        pipelock: "off",
        log: 0,
      },
      gitUser: { name: undefined, email: undefined },
      gitRepos: [],
      limits: {
        memoryBytes: undefined,
        processes: undefined,
        cpus: undefined,
        diskBytes: undefined,
      },
      mounts: [],
    });
  });
});

describe("a child", () => {
  const parent =
    "env: {A: a, B: b}\nsupervise: false\nlimits: {memory: 1GiB, cpus: 1}\n" +
    "egress: {log: 2, routes: [{host: p.example}], pipelock: required, upstream_ca: [/ca]}\n" +
    `git-gate: {user: {name: Ada, email: ada@example.com}, repos: {x: ${repo("p.example")}}}\n` +
    "mounts: [{host: /p, guest: /ref}]";

  it("inherits what it leaves out", () => {
    const child = merged({ p: parent, c: "extends: p" }, "c");
    expect({ ...child, names: [] }).toEqual({ ...merged({ p: parent }, "p"), names: [] });
    expect(child.names).toEqual(["p", "c"]);
  });

  it("wins by variable, replaces routes with log, repositories and mounts, and inherits how upstreams are reached", () => {
    const yaml =
      "extends: p\nenv: {B: c}\negress: {routes: [{host: c.example}]}\nlimits: {cpus: 2}\nmounts: []\n" +
      `git-gate: {user: {email: c@example.com}, repos: {y: ${repo("c.example")}}}`;
    const child = merged({ p: parent, c: yaml }, "c");
    expect(literals(child)).toEqual({ A: "a", B: "c" });
    expect(hosts(child)).toEqual(["c.example"]);
    expect(child.egress).toMatchObject({ log: 0, pipelock: "required", upstreamCa: ["/ca"] });
    expect(child.gitRepos.map((it) => it.name)).toEqual(["y"]);
    expect(child.gitUser).toEqual({ name: "Ada", email: "c@example.com" });
    expect(child.limits).toMatchObject({ memoryBytes: 1024 ** 3, cpus: 2 });
    expect(child.mounts).toEqual([]);
    expect(child.supervise).toBe(false);
  });

  it("clears with an empty list, and that is said", () => {
    const { layer } = resolve(
      { p: parent, c: "extends: p\negress: {routes: []}\ngit-gate: {repos: {}}" },
      "c",
    );
    const child = resolveEffective(layer!);
    expect(hosts(child)).toEqual([]);
    expect(child.gitRepos).toEqual([]);
    expect(layer?.warnings).toEqual([
      "bottle c declares egress without routes: the 1 of its parents do not count",
    ]);
  });

  it("never gives one agent's credential to another", () => {
    const p = "agent_provider: {template: claude, auth_token: CLAUDE, settings: {a: 1}}";
    const same = merged({ p, c: "extends: p\nagent_provider: {auth_kind: api-key}" }, "c").provider;
    expect(same).toMatchObject({
      template: "claude",
      authKind: "api-key",
      authToken: { name: "CLAUDE" },
    });
    const other = merged({ p, c: "extends: p\nagent_provider: {template: codex}" }, "c").provider;
    expect(other).toMatchObject({ template: "codex", authToken: undefined, settings: {} });
  });

  it("keeps where each route came from", () => {
    const child = merged({ p: parent, c: "extends: p" }, "c");
    expect(child.egress.routes[0]?.from).toEqual({ file: "/b/p.md", line: 5, column: 27 });
  });
});

describe("bottles side by side", () => {
  const a =
    "env: {X: a, A: a}\nsupervise: false\negress: {log: 1, routes: [{host: a.example}, {host: both.example}]}";
  const b =
    "env: {X: b, B: b}\negress: {log: 2, routes: [{host: both.example, git: {fetch: true}}, {host: b.example}]}";

  it.each([
    ["parents", { a, b, c: "extends: [a, b]" }, ["c"]],
    ["--bottle", { a, b }, ["a", "b"]],
  ])("%s: lists are united, the later one wins", (_, files, names) => {
    const both = merged(files, ...names);
    expect(literals(both)).toEqual({ X: "b", A: "a", B: "b" });
    expect(hosts(both)).toEqual(["a.example", "both.example", "b.example"]);
    expect(both.egress.routes[1]?.gitFetch).toBe(true);
    expect(both.egress.log).toBe(2);
    expect(both.supervise).toBe(false);
  });

  it("says which route replaced which", () => {
    expect(resolve({ a, b }, "a", "b").layer?.warnings).toEqual([
      "route both.example: /b/b.md:3 replaces /b/a.md:4",
    ]);
  });

  it("repositories merge by name and then key by key", () => {
    const first = `git-gate: {repos: {x: ${repo("a.example", `, host_key: "${key}"`)}, y: ${repo("a.example")}}}`;
    const second = `git-gate: {repos: {x: ${repo("b.example")}}}`;
    const both = merged({ first, second }, "first", "second");
    expect(both.gitRepos).toMatchObject([
      { name: "x", url: "ssh://git@b.example/a.git", hostKey: key },
      { name: "y", url: "ssh://git@a.example/a.git" },
    ]);
  });

  it("a shared ancestor counts once and undoes nothing", () => {
    const base = "env: {X: base}\nbackend: docker\negress: {routes: [{host: base.example}]}";
    const left = "extends: base\nenv: {X: left}\nbackend: bubblewrap";
    const files = {
      base,
      left,
      right: "extends: base\nenv: {R: right}",
      c: "extends: [left, right]",
    };
    const both = merged(files, "c");
    expect(both.names).toEqual(["base", "left", "right", "c"]);
    expect(literals(both)).toEqual({ X: "left", R: "right" });
    expect(both.backend).toBe("bubblewrap");
    expect(hosts(both)).toEqual(["base.example"]);
  });

  it("a wide diamond of many levels is resolved in no time", () => {
    const levels = Array.from({ length: 20 }, (_, i) => [
      [`l${i}`, i === 0 ? "" : `extends: [l${i - 1}, r${i - 1}]`],
      [`r${i}`, i === 0 ? "" : `extends: [r${i - 1}, l${i - 1}]`],
    ]).flat();
    expect(merged(Object.fromEntries(levels), "l19").names).toHaveLength(39);
  });
});

describe("what extends cannot mean", () => {
  it.each([
    [
      "itself",
      { a: "extends: a" },
      ["/b/a.md:2: extends names the bottle itself; another bottle is expected"],
    ],
    [
      "a circle",
      { a: "extends: b", b: "extends: [c]", c: "extends: a" },
      [
        "/b/c.md:2: extends leads in a circle: a → b → c → a; bottles without a circle are expected",
      ],
    ],
    [
      "a bottle that is missing",
      { a: "extends: [web, bse]", base: "" },
      [
        '/b/a.md:2: extends[0] is "web", which is not a bottle; a file of that name under bottles/ is expected',
        '/b/a.md:2: extends[1] is "bse", which is not a bottle; did you mean base',
      ],
    ],
    [
      "a broken parent, with its faults and the child's",
      { a: "extends: b\nbackend: x", b: "extends: c\nevn: {}", c: "supervise: 5" },
      [
        '/b/a.md:3: backend is "x"; bubblewrap, docker or smolmachines is expected',
        "/b/b.md:3: evn is not a key; did you mean env",
        "/b/c.md:2: supervise is 5; true or false is expected",
      ],
    ],
  ])("%s", (_, files, expected) => {
    expect(messages(files, "a")).toEqual(expected);
  });

  it("a chain without end", () => {
    const chain = Array.from({ length: 40 }, (_, i) => [`b${i}`, `extends: b${i + 1}`]);
    const files: Files = Object.fromEntries([...chain, ["b40", ""]]);
    expect(messages(files, "b0").join()).toContain("makes a chain of more than 32 bottles");
  });
});

describe("the whole", () => {
  const route = (auth: string): string => `egress: {routes: [{host: a.example, auth: ${auth}}]}`;

  it.each([
    [
      "a credential under its own name",
      { a: route("{scheme: Bearer, token_ref: KEY}"), b: 'env: {KEY: "${KEY}"}' },
      [
        "/b/b.md:2: env.KEY gives the guest the credential that the route a.example keeps from it; remove one of both",
      ],
    ],
    [
      "a credential under another name",
      { a: "agent_provider: {auth_token: KEY}", b: 'env: {OTHER: "${KEY}"}' },
      [
        "/b/b.md:2: env.OTHER gives the guest the credential that agent_provider keeps from it; remove one of both",
      ],
    ],
    [
      "a forge's token",
      {
        a: "git-gate: {repos: {x: {url: ssh://git@a.example/x, key: {provider: gitea, forge_token_env: KEY}}}}",
        b: 'env: {OTHER: "${KEY}"}',
      },
      [
        "/b/b.md:2: env.OTHER gives the guest the credential that the repository x keeps from it; remove one of both",
      ],
    ],
    [
      "a placeholder's name",
      { a: route("{scheme: Bearer, token_ref: KEY}"), b: "env: {KEY: mine}" },
      [
        "/b/b.md:2: env.KEY is the placeholder's name of the route a.example; another name is expected",
      ],
    ],
    [
      "one name with two sources",
      {
        a: route("{scheme: Bearer, token_ref: KEY}"),
        b: "egress: {routes: [{host: b.example, auth: {scheme: Bearer, token_ref: {name: KEY, file: /k}}}]}",
      },
      [
        "/b/b.md:2: token_ref of the route b.example gives KEY another source than /b/a.md:2; one is expected",
      ],
    ],
    [
      "a mount that shows a key",
      {
        a: "mounts: [{host: ~/, guest: /ref}]",
        b: `git-gate: {repos: {x: ${repo("a.example").replace("/k", "~/.ssh/id")}}}`,
      },
      [
        "/b/a.md:2: mounts.host shows the guest the key file of the repository x; a narrower path is expected",
      ],
    ],
    [
      "a mount of our own files",
      { a: "mounts: [{host: ~/.bot-bottle/state, guest: /ref}]", b: "" },
      ["/b/a.md:2: mounts.host shows the guest bot-bottle's own files; another path is expected"],
    ],
  ])("refuses %s", (_, files, expected) => {
    expect(messages(files, "a", "b")).toEqual(expected);
  });

  it("lets routes share a credential and variables stand beside it", () => {
    const yaml =
      'env: {A: x, B: "${OTHER}"}\negress: {routes: [{host: a.example, auth: {scheme: Bearer, token_ref: KEY}}, {host: b.example, auth: {scheme: token, token_ref: KEY}}]}';
    expect(messages({ a: yaml }, "a")).toEqual([]);
  });
});
