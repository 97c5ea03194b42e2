// The examples plan as a start would plan them, nothing in them is refused, and the SDK's example does what it says.
import { execFile } from "node:child_process";
import { globSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { promisify } from "node:util";
import { afterEach, describe, expect, it } from "vitest";
import { type BottlePlan, homePaths, parseHostPath, planStart } from "../../src/index.ts";
import { requires } from "../support/requires.ts";

const root = join(import.meta.dirname, "../..");
const run = promisify(execFile);
const temporary: string[] = [];
afterEach(() => {
  for (const directory of temporary.splice(0)) rmSync(directory, { recursive: true, force: true });
});

function makeDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "bb-examples-"));
  temporary.push(directory);
  return directory;
}

/** Plans `-- true` in the agent's bottle: an agent's program need not be installed for that. */
async function planExample(file: string): Promise<BottlePlan> {
  const cwd = makeDirectory();
  const { plan } = await planStart({
    home: homePaths(parseHostPath(join(root, dirname(dirname(file))))),
    userHome: parseHostPath(cwd),
    cwd: parseHostPath(cwd),
    env: { PATH: "/usr/bin:/bin" },
    agent: basename(file, ".md"),
    bottles: [],
    hasTerminal: false,
    options: {
      mode: "headless",
      copyCwd: false,
      keep: false,
      allow: [],
      backend: "bubblewrap",
      label: undefined,
      color: undefined,
      prompt: undefined,
      command: ["true"],
    },
  });
  return plan;
}

const agents = globSync("examples/{agents,*/home/agents}/*.md", { cwd: root }).sort();

describe("examples", () => {
  it.each(agents)("%s is refused nothing by this version", async (file) => {
    const plan = await planExample(file);
    expect(plan.agent.argv).toEqual(["true"]);
    const carriers = plan.policy.routes.flatMap((route) => route.auth ?? []);
    expect(carriers.every(({ placeholder }) => placeholder.startsWith("bot-bottle-"))).toBe(true);
  });

  it("each bottle of examples/bottles has an agent", () => {
    const names = (pattern: string): string[] =>
      globSync(pattern, { cwd: root }).map((file) => basename(file));
    expect(names("examples/agents/*.md").sort()).toEqual(names("examples/bottles/*.md").sort());
  });
});

describe("examples/sdk.ts", requires("bwrap"), () => {
  it("runs a bottle, is refused a host, brings the file back and leaves nothing", async () => {
    const home = makeDirectory();
    const temp = join(home, "tmp");
    mkdirSync(temp);
    const { stdout } = await run(process.execPath, [join(root, "examples/sdk.ts")], {
      env: { PATH: process.env["PATH"], HOME: home, TMPDIR: temp },
    });
    expect(stdout).toContain("inside I am node\n");
    expect(stdout).toContain("decision: deny example.com host-not-allowed\n");
    expect(stdout).toContain("brought back: Hello\n");
    expect(stdout).toMatch(/closed; audit head \d+:[0-9a-f]{64}, 0 things left over/);
    expect(globSync("**/*", { cwd: home })).toEqual(["tmp"]);
  });
});
