// One whole bottle in a machine: the demo's scripted agent, the real bundle, an API that wants a token; runs inside of the
// emulated host.
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Scope } from "../../../src/base/scope.ts";
import { type DemoWorld, openWorld } from "../../../src/demo/world.ts";
import {
  type Bottle,
  createExec,
  openBottle,
  planStart,
  resolveSecrets,
} from "../../../src/index.ts";

const EXAMPLES = join(import.meta.dirname, "../examples/demo");
const SEARCH_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin";

describe("a whole bottle in a machine", () => {
  const scope = new Scope();
  const exec = createExec();
  const output: string[] = [];
  const steps: string[] = [];
  let world: DemoWorld;
  let bottle: Bottle;
  let exitCode: number | undefined;
  let workspace = "";

  beforeAll(async () => {
    world = await openWorld(scope, {
      ...{ exec, searchPath: SEARCH_PATH, agent: "scripted", examples: EXAMPLES },
      withoutInjection: false,
    });
    const file = join(world.home.bottles, "demo.md");
    const text = readFileSync(file, "utf8").replace("/opt/bot-bottle/bin/node", "node");
    writeFileSync(file, text.replace("memory: 2GiB", "cpus: 1, memory: 512MiB"));
    const { BOT_BOTTLE_IMAGE, BOT_BOTTLE_SMOLVM } = process.env;
    const env = {
      ...{ PATH: SEARCH_PATH, HOME: homedir(), BOT_BOTTLE_IMAGE, BOT_BOTTLE_SMOLVM },
      ...world.secrets,
    };
    const { plan } = await planStart({
      home: world.home,
      userHome: world.home.home,
      cwd: world.repository,
      env,
      agent: "demo",
      bottles: [],
      hasTerminal: false,
      options: {
        ...{ backend: "smolmachines", copyCwd: true, mode: "headless", allow: [], keep: true },
        ...{ label: undefined, color: undefined, prompt: undefined, command: undefined },
      },
    });
    const secrets = await resolveSecrets(plan.secrets, { exec, env, prompt: undefined });
    bottle = await openBottle(plan, { env, exec, secrets, onStep: (it) => void steps.push(it) });
    scope.defer("bottle", () => bottle.close("the test is over"));
    const session = await bottle.execAgent({ stdio: "pipe" });
    session.stdin?.end();
    for (const stream of [session.stdout, session.stderr])
      stream?.on("data", (chunk: Buffer) => output.push(chunk.toString()));
    exitCode = (await session.exited).exitCode;
    workspace = plan.paths.workspace;
  });
  afterAll(async () => void (await scope.close()));

  it("runs its agent to a good end", () => {
    expect([exitCode, output.join("")]).toEqual([0, expect.stringContaining("changed greet.js")]);
    expect(steps.slice(-4)).toEqual(["isolation", "doors", "provision", "running"]);
  });

  it("reaches the API with the token that it never holds", () => {
    const calls = world.seen.filter(({ path }) => path === "/v1/whoami");
    expect(calls.map(({ hasRealToken }) => hasRealToken)).toContain(true);
    expect(output.join("")).toContain("not found");
    expect(output.join("")).not.toContain(world.secrets["DEMO_API_TOKEN"]);
  });

  it("is refused what nobody granted, and keeps the planted secret in", () => {
    const planted = world.secrets["DEMO_PLANTED_SECRET"] ?? "";
    expect(output.join("")).toContain("refused:");
    expect(output.join("")).toContain("secret-found");
    expect(
      world.seen.filter(({ path, body }) => path === "/v1/notes" || body.includes(planted)),
    ).toEqual([]);
  });

  it("leaves the work, the audit log, and nothing else", async () => {
    const { run, audit } = bottle.plan.paths;
    const report = await bottle.close("the test is over");
    expect(report.failures).toEqual([]);
    expect(readFileSync(join(workspace, "greet.js"), "utf8")).toContain("Hello, ");
    const log = readFileSync(audit, "utf8");
    expect(log).toContain("attacker.example.test");
    for (const secret of Object.values(world.secrets)) expect(log).not.toContain(secret);
    expect(existsSync(run)).toBe(false);
    expect(readdirSync("/tmp").filter((it) => /^bot-bottle-(?:vm|seen)-/.test(it))).toEqual([]);
  });
});
