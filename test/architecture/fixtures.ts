// Small violating files for the checkers and for every ban of .oxlintrc.json, and exempt ones.

/** Files of one case, and the rule that must fire; none where the files are exempt. */
export type LintFixture = {
  readonly name: string;
  readonly files: Readonly<Record<string, string>>;
  readonly rule?: string;
  readonly says?: string;
};

let counter = 0;

/** A ban that fires in the room, in a file of its own. */
function ban(text: string, rule: string, says?: string, room = "src/policy"): LintFixture {
  counter += 1;
  const files = { [`${room}/ban-${counter}.ts`]: `${text}\n` };
  return { name: `${rule}: ${text.slice(0, 60)}`, files, rule, ...(says ? { says } : {}) };
}

function exempt(file: string, text: string): LintFixture {
  return { name: `exempt: ${file}: ${text.slice(0, 50)}`, files: { [file]: `${text}\n` } };
}

const lines = (count: number): string => "export {};\n".repeat(count);
const body = (count: number): string => "  a += 1;\n".repeat(count);
const branches = Array.from({ length: 13 }, (_, i) => `  if (a === ${i}) return ${i};`).join("\n");
const PROPERTIES = "no-restricted-properties";

export const LINT_FIXTURES: readonly LintFixture[] = [
  ban("process.exit(1);", PROPERTIES, "process.exitCode"),
  ban('process.stdout.write("a");', PROPERTIES, "output.ts"),
  ban('process.stderr.write("a");', PROPERTIES, "Logger"),
  ban('export const a = process.env["A"];', PROPERTIES, "src/cli/env.ts"),
  ban('export const a = process.env["A"];', PROPERTIES, "src/cli/env.ts", "src/base"),
  ban("export const a = Date.now();", PROPERTIES, "Clock"),
  ban("export const a = Date.now();", PROPERTIES, "Clock", "src/cli"),
  ban("export const a = Math.random();", PROPERTIES, "randomness"),
  ban('export const a: unknown = JSON.parse("1");', PROPERTIES, "parseJson"),
  ban('export const a: unknown = JSON.parse("1");', PROPERTIES, "parseJson", "src/base"),
  ban('console.log("a");', "no-restricted-globals", "Logger"),
  ban('import { spawn } from "node:child_process";\nspawn("a");', "no-restricted-imports", "Exec"),
  ban('import { env } from "node:process";\nexport const a = env;', "no-restricted-imports"),
  ban("export const a: any = 1;", "no-explicit-any"),
  ban("export const a = (b?: string): string => b!;", "no-non-null-assertion"),
  ban("export default 1;", "no-default-export"),
  ban("export function a(b: () => void): void {\n  try {\n    b();\n  } catch {}\n}", "no-empty"),
  ban("const a = async (): Promise<void> => {};\na();", "no-floating-promises"),
  ban(
    'export function a(b: "c" | "d"): number {\n  switch (b) {\n    case "c":\n      return 1;\n  }\n  return 2;\n}',
    "switch-exhaustiveness-check",
  ),
  ban(
    'export function a(b: () => void): void {\n  try {\n    b();\n  } catch (error) {\n    throw new Error("c");\n  }\n}',
    "preserve-caught-error",
  ),
  ban("export const a = (b: number): boolean => b == 1;", "eqeqeq"),
  ban("export const a = (b: unknown): string => b as string;", "no-unsafe-type-assertion"),
  ban("const b = (): any => 1;\nexport const a: string = b();", "no-unsafe-assignment"),
  ban("const b = (): any => 1;\nexport const a = (): string => b();", "no-unsafe-return"),
  ban("const b = (): any => 1;\nb().c;", "no-unsafe-member-access"),
  ban("const b = (): any => 1;\nb()();", "no-unsafe-call"),
  ban("const b = (): any => 1;\nNumber.isNaN(b());\nencodeURI(b());", "no-unsafe-argument"),
  ban("// @ts-ignore\nexport const a = 1;", "ban-ts-comment"),
  ban(lines(401), "max-lines"),
  ban(
    `export function a(b: number): number {\n  let a = b;\n${body(60)}  return a;\n}`,
    "max-lines-per-function",
  ),
  ban(`export function a(a: number): number {\n${branches}\n  return 99;\n}`, "complexity"),
  ban(
    "export const a = (...b: number[]): number => b.length;\nexport function c(d: 1, e: 1, f: 1, g: 1, h: 1): number {\n  return a(d, e, f, g, h);\n}",
    "max-params",
  ),
  ban(
    "export function a(b: boolean, c: () => void): void {\n  if (b) {\n    if (c) {\n      if (b) {\n        if (c) {\n          c();\n        }\n      }\n    }\n  }\n}",
    "max-depth",
  ),
  {
    name: "no-cycle",
    files: {
      "src/tls/cycle-a.ts":
        'import { b } from "./cycle-b.ts";\nexport const a = (): number => b();\n',
      "src/tls/cycle-b.ts":
        'import { a } from "./cycle-a.ts";\nexport const b = (): number => a();\n',
    },
    rule: "no-cycle",
  },
  exempt(
    "src/cli/main.ts",
    'console.log(process.env["A"]);\nprocess.stdout.write("a");\nprocess.exit(1);',
  ),
  exempt("src/bundle/main.ts", "process.exit(1);"),
  exempt("src/guest-init/main.ts", "process.exit(1);"),
  exempt("src/base/clock.ts", "export const now = (): number => Date.now() + Math.random();"),
  exempt("src/base/json.ts", "export const a = (b: string): unknown => JSON.parse(b);"),
  exempt(
    "src/process/spawn.ts",
    'import { spawn } from "node:child_process";\nexport const a = spawn;',
  ),
  exempt("src/cli/a.test.ts", 'export const a = JSON.parse("{}").b;\nprocess.exit(Date.now());'),
  exempt(
    "scripts/a.ts",
    'import { spawn } from "node:child_process";\nspawn(process.env["A"] ?? "a");\nconsole.log("a");',
  ),
];

/** Comments that switch a check off, and whether they may. */
export const SUPPRESSIONS: readonly (readonly [line: string, isAllowed: boolean])[] = [
  ["// oxlint-disable-next-line no-restricted-properties -- because it is needed here", false],
  ["// oxlint-disable -- a whole file without its rules", false],
  ["// oxlint-disable-next-line max-lines", false],
  ["// biome-ignore format: x", false],
  ["// @ts-expect-error", false],
  ["// @ts-nocheck", false],
  ["// oxlint-disable-next-line max-lines -- one table of codes", true],
  ["// biome-ignore format: columns are easier to read", true],
  ["// @ts-expect-error: the wrong type is what is tested", true],
];

/** Lines that the text checks refuse in these files. */
export const TEXT_FIXTURES: readonly (readonly [file: string, line: string])[] = [
  ["src/a.test.ts", "await new Promise((done) => setTimeout(done, 50));"],
  ["test/e2e/a.test.ts", "test.skip('later', () => {});"],
  ["test/e2e/a.test.ts", "vi.mock('../src/a.ts');"],
  ["src/cli/a.ts", "const now = new Date();"],
  ["src/cli/a.ts", "await close().catch(() => {});"],
  ["src/cli/a.ts", "try { a(); } catch {\n  // does not matter\n}"],
  ["docs/a.md", `see ${["", "work", "main"].join("/")}`],
];
