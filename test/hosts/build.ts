// Builds the emulated host of smolvm where it is missing, and prints where it is: node test/hosts/build.ts
// One builder at a time; what is built appears whole, by a rename.
import { spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
} from "node:fs";
import { join } from "node:path";
import { fetchWheels, fillTree, installDebian, writeDisk } from "./disk.ts";
import { hostKey, hostsDirectory, NEEDED_PROGRAMS } from "./recipe.ts";
import { SAVED, saveTemplate } from "./template.ts";
import { openTool } from "./tool.ts";

const LOCKED = "--locked";
const UNUSED_MS = 7 * 24 * 3600 * 1000;
const LOCK_S = 1800;

if (process.argv.includes(LOCKED)) await buildLocked();
else buildIfMissing();

function buildIfMissing(): void {
  const needed = join(import.meta.dirname, "../../scripts/host-packages.sh");
  if (spawnSync(needed, NEEDED_PROGRAMS, { stdio: ["ignore", 2, 2] }).status !== 0) fail("");
  const hosts = hostsDirectory();
  mkdirSync(hosts, { recursive: true });
  const host = join(hosts, hostKey());
  if (!existsSync(host)) {
    const argv = ["-w", String(LOCK_S), join(hosts, "lock")];
    const self = [process.execPath, import.meta.filename, LOCKED];
    const built = spawnSync("flock", [...argv, ...self], { stdio: ["ignore", 2, 2] });
    if (built.status !== 0) fail("the emulated host was not built (above)");
  }
  const now = new Date();
  utimesSync(host, now, now);
  console.log(host);
}

function fail(message: string): never {
  if (message !== "") console.error(`hosts: ${message}`);
  process.exit(1);
}

async function buildLocked(): Promise<void> {
  const hosts = hostsDirectory();
  const key = hostKey();
  if (existsSync(join(hosts, key))) return;
  if (process.getuid?.() !== 0)
    fail("building the emulated host needs root: it owns files of several users");
  removeOld(hosts);
  const work = join(hosts, `building-${key}`);
  mkdirSync(work);
  const clock = performance.now();
  const tell = (step: string): void =>
    console.error(`hosts: ${step}, ${((performance.now() - clock) / 1000).toFixed(1)} s so far`);
  try {
    const tool = openTool(join(work, "log"));
    await Promise.all([
      installDebian(work, tool).then(() => tell("Debian and its kernel")),
      fetchWheels(work, tool).then(() => tell("smolvm's wheels")),
    ]);
    await fillTree(work, tool);
    tell("tree");
    const init = readFileSync(join(import.meta.dirname, "inside/initrd.sh"), "utf8");
    await writeDisk(work, init, tool);
    tell("disk");
    await saveTemplate(work);
    tell("saved state");
    for (const name of ["root", "wheels"]) rmSync(join(work, name), { recursive: true });
    renameSync(work, join(hosts, key));
    tell(`built, ${sizeOf(join(hosts, key))} MiB`);
  } catch (error) {
    console.error(error);
    fail(`building failed; the log is ${join(work, "log")}`);
  }
}

/** Removes what no checkout has used for a week, and what a builder that died has left. */
function removeOld(hosts: string): void {
  for (const name of readdirSync(hosts)) {
    if (name === "lock") continue;
    const path = join(hosts, name);
    const isLeft = name.startsWith("building-");
    if (isLeft || Date.now() - statSync(path).mtimeMs > UNUSED_MS)
      rmSync(path, { recursive: true });
  }
}

function sizeOf(directory: string): number {
  const files = ["disk.img", ...Object.values(SAVED)];
  const blocks = files.map((it) => statSync(join(directory, it)).blocks);
  return Math.round(blocks.reduce((sum, it) => sum + it, 0) / 2048);
}
