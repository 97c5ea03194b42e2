// A home with one bottle that has a network route, so that a bundle with egress is up; removed at exit.
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export const ROOT: string = join(import.meta.dirname, "..");
export const CLI: string = join(ROOT, "dist/cli.js");
/** The one host that may be reached, in our bottle and in the other sandbox. */
export const ROUTE = "api.example.test";

export interface World {
  readonly home: string;
  /** An empty directory to start from. */
  readonly project: string;
  readonly env: Readonly<Record<string, string>>;
  /** `start` of the one agent, running a program in its bottle. */
  start(program: readonly string[], options?: readonly string[]): readonly string[];
}

/** Makes the home; `more` is added to the bottle file. Throws when dist/ is not built. */
export function makeWorld(more = ""): World {
  if (!existsSync(CLI)) throw new Error("dist/cli.js is missing: run node scripts/build.ts");
  const root = mkdtempSync(join(tmpdir(), "bot-bottle-bench-"));
  process.on("exit", () => rmSync(root, { recursive: true, force: true, maxRetries: 3 }));
  const home = join(root, "home");
  const project = join(root, "project");
  for (const directory of [join(home, "bottles"), join(home, "agents"), project]) {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
  }
  writeFileSync(
    join(home, "bottles/bench.md"),
    `---\nagent_provider: { template: command, settings: { argv: ["true"] } }\negress:\n  routes:\n    - host: ${ROUTE}\n${more}\n---\n`,
  );
  writeFileSync(join(home, "agents/bench.md"), "---\nbottle: bench\n---\n");
  const prefix = [process.execPath, CLI, "start", "bench", "--headless"];
  return {
    home,
    project,
    env: { BOT_BOTTLE_HOME: home },
    start: (program, options = []) => [...prefix, ...options, "--", ...program],
  };
}
