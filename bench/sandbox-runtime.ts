// Brings the sandbox that is compared with, for the benchmark only: a pinned version below .tools/bench, and the system
// packages it needs.
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT, ROUTE } from "./world.ts";

const PACKAGE = "@anthropic-ai/sandbox-runtime";
const VERSION = "0.0.83";
const HOME = join(ROOT, ".tools/bench");

/** argv that runs a program in it, with one host allowed, so that its proxies are up as our bundle is. */
export function sandboxRuntime(program: readonly string[]): {
  readonly name: string;
  readonly argv: readonly string[];
} {
  const folder = join(HOME, "node_modules", PACKAGE);
  if (versionIn(folder) !== VERSION) bring();
  const settings = join(HOME, "settings.json");
  writeFileSync(
    settings,
    JSON.stringify({
      network: { allowedDomains: [ROUTE], deniedDomains: [] },
      filesystem: { denyRead: [], allowWrite: ["."], denyWrite: [] },
    }),
  );
  return {
    name: `srt ${VERSION}`,
    argv: [process.execPath, join(folder, "dist/cli.js"), "--settings", settings, ...program],
  };
}

function versionIn(folder: string): string | undefined {
  const file = join(folder, "package.json");
  if (!existsSync(file)) return undefined;
  return /"version":\s*"([^"]+)"/.exec(readFileSync(file, "utf8"))?.[1];
}

function bring(): void {
  mkdirSync(HOME, { recursive: true });
  const stdio = ["ignore", 2, 2] as const;
  execFileSync(
    join(ROOT, "scripts/host-packages.sh"),
    [
      "socat:socat:the other sandbox bridges its proxies",
      "rg:ripgrep:the other sandbox looks for files",
    ],
    { stdio: [...stdio] },
  );
  const flags = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-save"];
  execFileSync("npm", ["install", "--prefix", HOME, ...flags, `${PACKAGE}@${VERSION}`], {
    stdio: [...stdio],
  });
}
