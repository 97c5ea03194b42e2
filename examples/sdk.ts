// One bottle from a program: write its files, plan, launch, run, watch the decisions, bring a file back.
// Runs in a checkout with `npm install && node examples/sdk.ts` (Node 24.2 or later). In a project of your own the import is "bot-bottle".
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import {
  type Bottle,
  BottleError,
  type BottlePlan,
  explainRoute,
  homePaths,
  openBottle,
  parseGuestPath,
  parseHostPath,
  planStart,
  writeHostTree,
} from "../src/index.ts";

/** A bottle that may fetch packages; its home is ours alone, so nothing of the operator's is read. */
const BOTTLE = `---
agent_provider: { template: command, settings: { argv: [sh] } }
egress:
  routes:
    - host: registry.npmjs.org
      matches: [{ methods: [GET, HEAD] }]
supervise: false
limits: { processes: 256 }
---
`;

/** Decides everything and touches nothing: the plan can be printed, compared or refused. */
async function plan(root: string): Promise<BottlePlan> {
  const home = homePaths(parseHostPath(join(root, "home")));
  const project = join(root, "project");
  for (const directory of [home.bottles, home.agents, project]) {
    await mkdir(directory, { recursive: true, mode: 0o700 });
  }
  await writeFile(join(home.bottles, "box.md"), BOTTLE);
  await writeFile(join(home.agents, "worker.md"), "---\nbottle: box\n---\n");
  await writeFile(join(project, "greet.txt"), "Helo\n");
  const planned = await planStart({
    home,
    userHome: parseHostPath(homedir()),
    cwd: parseHostPath(project),
    env: process.env,
    agent: "worker",
    bottles: [],
    hasTerminal: false,
    options: {
      mode: "headless",
      copyCwd: true,
      keep: false,
      allow: [],
      backend: undefined,
      label: undefined,
      color: undefined,
      prompt: undefined,
      command: undefined,
    },
  });
  return planned.plan;
}

/** Prints decisions as they are made, until the bottle is closed. */
async function watch(bottle: Bottle): Promise<void> {
  for await (const event of bottle.events()) {
    if (event.kind !== "decision") continue;
    const { verdict = "-", host = "", reason = "" } = event.event;
    console.log(`decision: ${verdict} ${host} ${reason}`);
  }
}

async function work(bottle: Bottle, root: string): Promise<void> {
  const { stdout } = await bottle.exec(["id", "-un"]);
  console.log(`inside I am ${stdout.toString().trim()}`);
  // Our own Node is in every bottle; it reads the proxy variables that the bottle sets.
  const ask =
    'await fetch("https://example.com/").catch((error) => console.log(error.cause.message))';
  const node = ["/opt/bot-bottle/bin/node", "--input-type=module", "--eval"];
  const refused = await bottle.exec([...node, ask]);
  console.log(`an ungranted host: ${refused.stdout.toString().trim()}`);
  await bottle.exec(["sed", "-i", "s/Helo/Hello/", "greet.txt"]);
  // What comes out is guest input: writeHostTree never follows a link and never leaves its directory.
  const source = parseGuestPath("/home/node/workspace");
  await writeHostTree(parseHostPath(join(root, "result")), bottle.copyOut(source));
  const text = await readFile(join(root, "result", "greet.txt"), "utf8");
  console.log(`brought back: ${text.trim()}`);
}

const root = await mkdtemp(join(tmpdir(), "bot-bottle-sdk-"));
try {
  const bottlePlan = await plan(root);
  for (const route of bottlePlan.policy.routes) console.log(explainRoute(route));
  await using bottle = await openBottle(bottlePlan, { env: process.env });
  const watching = watch(bottle);
  await work(bottle, root);
  const { auditHead, failures } = await bottle.close();
  await watching;
  console.log(`closed; audit head ${auditHead}, ${failures.length} things left over`);
} catch (error) {
  if (!(error instanceof BottleError)) throw error;
  console.error(`${error.code}: ${error.message}`, error.hint ?? "");
  process.exitCode = 1;
} finally {
  await rm(root, { recursive: true, force: true });
}
