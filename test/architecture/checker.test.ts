// The checkers themselves: each must fail on a tree that breaks its rule.
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { checkLazy, checkPurity, checkRooms } from "./check-rooms.ts";
import { checkPatterns, checkSizes, checkSuppressions } from "./check-text.ts";
import { LINT_FIXTURES, SUPPRESSIONS, TEXT_FIXTURES } from "./fixtures.ts";
import { importsOf, printed } from "./scan.ts";

const tree = (files: Record<string, string>): Map<string, string> => new Map(Object.entries(files));

describe("imports", () => {
  test("every kind of statement is seen, comments are not", () => {
    const text = [
      'import { a } from "./a.ts";',
      'import type { B } from "../b.ts";',
      'import {\n  c,\n  type D,\n} from "./c.ts";',
      'export { e } from "./e.ts";',
      'export * from "./f.ts";',
      'import "./g.ts";',
      'const h = await import("./h.ts");',
      'type I = import("./i.ts").I;',
      '// import { x } from "./x.ts";',
      '/*\n import { y } from "./y.ts";\n*/',
      'const z = "from";',
    ].join("\n");
    const found = importsOf("room/file.ts", text).map((it) => `${it.kind} ${it.target}`);
    expect(found.sort()).toEqual(
      "dynamic room/h,dynamic room/i,static room/a,static room/c,static room/e,static room/f,static room/g,type b".split(
        ",",
      ),
    );
  });
});

describe("rooms", () => {
  test.each([
    ["base/a.ts", "../process/spawn.ts"],
    ["base/a.ts", "zod"],
    ["policy/dlp/a.ts", "../../manifest/parse.ts"],
    ["sidecars/egress/a.ts", "../git-gate/config.ts"],
    ["sidecars/egress/a.ts", "../../manifest/schema.ts"],
    ["bundle/launch-bundle.ts", "../sidecars/egress/daemon.ts"],
    ["bundle/main.ts", "../sidecars/egress/config.ts"],
    ["backends/docker/launch.ts", "../qemu/render.ts"],
    ["bottle/launch.ts", "../backends/docker/launch.ts"],
    ["operator/tui/a.ts", "../../bottle/list.ts"],
    ["cli/main.ts", "../bottle/launch.ts"],
    ["index.ts", "./testing/fake-exec.ts"],
    ["elsewhere/a.ts", "../base/ids.ts"],
    ["base/a.ts", "../../scripts/build.ts"],
  ])("%s may not import %s", (file, specifier) => {
    for (const text of [
      `import { a } from "${specifier}";\n`,
      `import type { A } from "${specifier}";\n`,
      `export * from "${specifier}";\n`,
      `const a = await import("${specifier}");\n`,
    ]) {
      expect(printed(checkRooms(tree({ [file]: text })))).toContain(`room: ${file}: `);
    }
  });

  test.each([
    ["base/a.ts", "node:fs"],
    ["tls/leaf.ts", "../base/ids.ts"],
    ["sidecars/egress/a.ts", "../descriptor.ts"],
    ["bundle/main.ts", "../sidecars/egress/daemon.ts"],
    ["bundle/main.ts", "./plan-bundle.ts"],
    ["backends/registry.ts", "./docker/launch.ts"],
    ["backends/docker/launch.ts", "./render.ts"],
    ["bottle/launch.ts", "../tls/authority.ts"],
    ["cli/commands/start.ts", "../../index.ts"],
    ["testing/fake-backend.ts", "../backends/contract.ts"],
    ["base/a.test.ts", "../testing/fake-clock.ts"],
  ])("%s may import %s", (file, specifier) => {
    expect(printed(checkRooms(tree({ [file]: `import { a } from "${specifier}";\n` })))).toBe("");
  });

  test("an import that is computed is refused", () => {
    expect(checkRooms(tree({ "cli/a.ts": "await import(name);\n" }))).toHaveLength(1);
  });

  test("the CLI's entry may load a heavy room only on demand", () => {
    const main = 'import { start } from "./commands/start.ts";\n';
    const eager = tree({
      "cli/main.ts": main,
      "cli/commands/start.ts": 'export * from "../../index.ts";\n',
    });
    const lazy = tree({
      "cli/main.ts": main,
      "cli/commands/start.ts": 'await import("../../index.ts");\n',
    });
    expect(checkLazy(eager)).toHaveLength(1);
    expect(checkLazy(lazy)).toEqual([]);
  });
});

describe("purity", () => {
  test.each([
    'import { readFileSync } from "node:fs";',
    'import { connect } from "node:net";',
    'import { hostname } from "node:os";',
    "const a = Date.now();",
    "const a = Math.random();",
    'const a = process.env["HOME"];',
    "const a = new Date();",
  ])("%s", (line) => {
    for (const file of [
      "policy/a.ts",
      "manifest/parse.ts",
      "bottle/resolve-plan.ts",
      "backends/qemu/render.ts",
    ]) {
      expect(checkPurity(tree({ [file]: `${line}\n` }))).toHaveLength(1);
    }
    expect(checkPurity(tree({ "manifest/read.ts": line, "bottle/launch.ts": line }))).toEqual([]);
  });
});

describe("text", () => {
  test("a file of 401 lines", () => {
    expect(checkSizes(tree({ "src/base/a.ts": "a;\n".repeat(401) }))).toHaveLength(1);
    expect(checkSizes(tree({ "src/base/a.ts": "a;\n".repeat(400) }))).toEqual([]);
  });

  test.each(SUPPRESSIONS)("%s", (line, isAllowed) => {
    expect(checkSuppressions(tree({ "src/a.ts": `${line}\n` })).length === 0).toBe(isAllowed);
  });

  test.each(TEXT_FIXTURES)("%s: %s", (file, line) => {
    expect(checkPatterns(tree({ [file]: `${line}\n` }))).toHaveLength(1);
  });
});

describe("lint", () => {
  const root = join(import.meta.dirname, "../..");
  const work = mkdtempSync(join(tmpdir(), "bot-bottle-lint-"));
  let diagnostics: { code: string; message: string; help?: string; filename: string }[] = [];

  beforeAll(() => {
    for (const name of [".oxlintrc.json", "tsconfig.json", "package.json"]) {
      cpSync(join(root, name), join(work, name));
    }
    symlinkSync(join(root, "node_modules"), join(work, "node_modules"));
    for (const it of LINT_FIXTURES) {
      for (const [file, text] of Object.entries(it.files)) {
        mkdirSync(dirname(join(work, file)), { recursive: true });
        writeFileSync(join(work, file), text);
      }
    }
    const oxlint = join(root, "node_modules/oxlint/bin/oxlint");
    const run = spawnSync(process.execPath, [oxlint, "--format", "json"], {
      cwd: work,
      encoding: "utf8",
    });
    diagnostics = JSON.parse(run.stdout).diagnostics;
  });
  afterAll(() => rmSync(work, { recursive: true }));

  test.each(LINT_FIXTURES)("$name", ({ files, rule, says }) => {
    const found = diagnostics.filter((it) => it.filename in files);
    const codes = found.map((it) => it.code);
    if (rule === undefined) return expect(codes).toEqual([]);
    expect(codes.join(" ")).toContain(`(${rule})`);
    return expect(JSON.stringify(found)).toContain(says ?? "");
  });
});
