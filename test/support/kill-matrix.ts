// What tests need that end a bottle's owner in the middle: an owner that stops at a step, the ways to end it, and what is left.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { systemClock } from "../../src/base/clock.ts";
import { silentLogger } from "../../src/base/log.ts";
import {
  type Backend,
  createExec,
  findLeftovers,
  findOrphanRuns,
  reap,
  removeOrphanRun,
} from "../../src/index.ts";
import type { Child } from "../../src/process/exec.ts";
import type { World } from "./bottle-world.ts";

const exec = createExec();
const PROGRAMS = join(import.meta.dirname, "../fixtures/programs");

/** Each way in which an owner is ended. */
export const WAYS: readonly (readonly NodeJS.Signals[])[] = [
  ["SIGINT"],
  ["SIGINT", "SIGINT"],
  ["SIGTERM"],
  ["SIGHUP"],
  ["SIGKILL"],
];

/** A bottle whose agent makes a file, says so and stays. */
export const AGENT =
  "agent_provider: { template: command, settings: { argv: [/bin/sh, -c, 'echo work > made.txt; echo RUNNING; exec sleep 300'] } }";

/** Starts a program of test/fixtures that stops the world at a step. */
export function startPaused(
  world: World,
  program: string,
  argv: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Child> {
  return exec.start([process.execPath, pathOf(program), ...argv], {
    cwd: world.project,
    env: { ...world.env, ...env, BOT_BOTTLE_HOME: world.home.home },
    stdio: ["ignore", "pipe", "pipe"],
  });
}

/** Built to one file where Node is not to strip types itself. */
function pathOf(program: string): string {
  const built = join(PROGRAMS, program.replace(/ts$/, "mjs"));
  return existsSync(built) ? built : join(PROGRAMS, program);
}

/** Resolves once the child has said something. */
export async function runUntil(child: Child, text: string): Promise<void> {
  let seen = "";
  await new Promise<void>((resolve, reject) => {
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on("data", (chunk: Buffer) => {
        seen += chunk.toString();
        if (seen.includes(text)) resolve();
      });
    }
    void child.exited.then((exit) =>
      reject(new Error(`ended with ${JSON.stringify(exit)} before "${text}": ${seen}`)),
    );
  });
}

/** Ends it and waits for its end. */
export async function endBy(child: Child, way: readonly NodeJS.Signals[]): Promise<void> {
  for (const signal of way) child.kill(signal);
  await child.exited;
}

/** Files and sockets that are left; audit log and cache are meant to stay. */
export function leftovers(world: World): string[] {
  const below = (directory: string): string[] =>
    existsSync(directory) ? readdirSync(directory) : [];
  const sockets = readFileSync("/proc/net/unix", "utf8")
    .split("\n")
    .filter((line) => line.includes(world.root));
  return [
    ...below(world.home.run),
    ...below(world.home.state),
    ...below(world.home.queue),
    ...sockets,
  ];
}

/** Does what the command `cleanup` does; a backend that is given reaps its own records. */
export async function cleanUp(world: World, given?: Backend): Promise<void> {
  const ports = {
    exec,
    clock: systemClock,
    log: silentLogger,
    searchPath: world.env["PATH"] ?? "",
    env: world.env,
  };
  for (const item of await findLeftovers(world.home))
    await reap(item, world.home, ports, item.backend === given?.name ? given : undefined);
  for (const directory of await findOrphanRuns(world.home)) await removeOrphanRun(directory);
}
