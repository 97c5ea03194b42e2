// A home of its own for tests that start bottles: manifest files, plan and launch with chosen backend and bundle host.
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import type { BundleHost } from "../../src/bundle/contract.ts";
import {
  type Backend,
  type Bottle,
  type BottlePlan,
  type HomePaths,
  homePaths,
  type OpenOptions,
  openBottle,
  parseHostPath,
  planStart,
  type StartOptions,
} from "../../src/index.ts";

export interface World {
  readonly root: string;
  readonly home: HomePaths;
  readonly project: string;
  readonly env: Readonly<Record<string, string>>;
}

/** Settings of a bottle whose agent ends at once. */
export const DEFAULT_BOTTLE =
  "agent_provider: { template: command, settings: { argv: [/bin/sh, -c, exit 0] } }";

/** Where the engines and the image of the machine that the tests run on are told. */
function enginesFromOutside(): Record<string, string> {
  const names = ["BOT_BOTTLE_IMAGE", "BOT_BOTTLE_SMOLVM", "DOCKER_HOST"];
  return Object.fromEntries(
    names.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]])),
  );
}

/** Makes a home with one bottle `box` and one agent `worker`; removed after the test, or when `onEnd` says. */
export function makeWorld(
  bottle: string = DEFAULT_BOTTLE,
  onEnd: (remove: () => void) => void = onTestFinished,
): World {
  const root = mkdtempSync(join(tmpdir(), "bb-test-"));
  const home = homePaths(parseHostPath(join(root, "home")));
  const project = join(root, "project");
  for (const directory of [home.bottles, home.agents, project])
    mkdirSync(directory, { recursive: true });
  const limits = process.env["BOT_BOTTLE_TEST_LIMITS"];
  const all = limits === undefined ? bottle : `${bottle}\nlimits: ${limits}`;
  writeFileSync(join(home.bottles, "box.md"), `---\n${all}\n---\n`);
  writeFileSync(join(home.agents, "worker.md"), "---\nbottle: box\n---\nDo the work.\n");
  writeFileSync(join(project, "README.md"), "# project\n");
  onEnd(() => rmSync(root, { recursive: true, force: true, maxRetries: 3 }));
  return {
    root,
    home,
    project,
    env: {
      ...enginesFromOutside(),
      PATH: "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
      HOME: root,
    },
  };
}

/** What is left of the bottles of a home: nothing but the audit log, and the state where it was kept. */
export function leftInHome({ home }: World): readonly string[] {
  const below = (directory: string): string[] =>
    existsSync(directory) ? readdirSync(directory) : [];
  return [...below(home.run), ...below(home.state), ...below(home.queue)];
}

const DEFAULTS: StartOptions = {
  backend: undefined,
  copyCwd: false,
  label: undefined,
  color: undefined,
  mode: "headless",
  prompt: undefined,
  command: undefined,
  allow: [],
  keep: false,
};

/** Plans a start of `worker`. */
export async function planIn(
  world: World,
  options: Partial<StartOptions> = {},
): Promise<BottlePlan> {
  const { plan } = await planStart({
    home: world.home,
    userHome: parseHostPath(world.root),
    cwd: parseHostPath(world.project),
    env: world.env,
    agent: "worker",
    bottles: [],
    hasTerminal: false,
    options: { ...DEFAULTS, ...options },
  });
  return plan;
}

export interface Launchers {
  readonly backend: Backend;
  readonly bundleHost?: BundleHost;
}

/** Plans and launches. */
export async function openIn(
  world: World,
  launchers: Launchers,
  options: Partial<StartOptions> = {},
  open: Partial<OpenOptions> = {},
): Promise<Bottle> {
  const plan = await planIn(world, { backend: launchers.backend.name, ...options });
  return openBottle(plan, { env: world.env, ...launchers, ...open });
}
