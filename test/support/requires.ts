// Tests that need something of the machine say so; where it is missing they are skipped with a
// reason, or fail when REQUIRE names it.
import { spawnSync } from "node:child_process";
import { accessSync, constants, existsSync } from "node:fs";
import { userInfo } from "node:os";
import { join } from "node:path";
import { hostKey, hostsDirectory } from "../hosts/recipe.ts";

declare module "vitest" {
  interface TaskMeta {
    skipReason?: string;
  }
}

/** Undefined where the machine has it, else what was seen. */
type Probe = () => string | undefined;

/** A command that must succeed; its first line of complaint is the reason. */
const runs =
  (...argv: [string, ...string[]]): Probe =>
  () => {
    const [program, ...args] = argv;
    const { status, error, stderr } = spawnSync(program, args, {
      encoding: "utf8",
      timeout: 20_000,
      stdio: ["ignore", "ignore", "pipe"],
    });
    if (status === 0) return undefined;
    if (error) return `${program}: ${error.message}`;
    return stderr.split("\n").find(Boolean) ?? `${program}: exit status ${status}`;
  };

/** Where scripts/agents/install.sh puts the real agents. */
const AGENTS = join(import.meta.dirname, "../../.tools/agents/node_modules/.bin");

/** An agent is there; whether it runs is the test's own matter. */
const installed =
  (name: string): Probe =>
  () => {
    accessSync(join(AGENTS, name), constants.R_OK);
    return undefined;
  };

const isRoot = (): boolean => userInfo().uid === 0;

const PROBES = {
  linux: () => (process.platform === "linux" ? undefined : `this is ${process.platform}`),
  root: () => (isRoot() ? undefined : "not root"),
  "ordinary-user": () => (isRoot() ? "running as root" : undefined),
  bwrap: runs("bwrap", "--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "true"),
  userns: runs("unshare", "--user", "--map-root-user", "true"),
  netns: runs("unshare", "--user", "--map-root-user", "--net", "true"),
  kvm: () => {
    accessSync("/dev/kvm", constants.R_OK | constants.W_OK);
    return undefined;
  },
  // `docker info` may say yes without an engine.
  docker: runs("docker", "version", "--format", "{{.Server.Version}}"),
  runsc: () => {
    const argv = ["info", "--format", "{{range $name, $_ := .Runtimes}}{{$name}} {{end}}"];
    const { stdout } = spawnSync("docker", argv, { encoding: "utf8", timeout: 20_000 });
    return stdout?.split(" ").includes("runsc") === true
      ? undefined
      : "the engine does not know it";
  },
  qemu: runs("qemu-system-x86_64", "--version"),
  "emulated-host": () => {
    if (process.platform !== "linux" || process.arch !== "x64") return "it is for Linux on x86-64";
    const noQemu = runs("qemu-system-x86_64", "--version")();
    if (noQemu !== undefined) return noQemu;
    if (existsSync(join(hostsDirectory(), hostKey()))) return undefined;
    return isRoot() ? undefined : "it is not built, and building it needs root";
  },
  smolvm: runs("smolvm", "--version"),
  pipelock: runs("pipelock", "--version"),
  gitleaks: runs("gitleaks", "version"),
  git: runs("git", "--version"),
  ssh: runs("ssh", "-V"),
  tmux: runs("tmux", "-V"),
  strace: runs("strace", "-V"),
  openssl: runs("openssl", "version"),
  python3: runs("python3", "--version"),
  // Clients of HTTP that Debian packages for its own Python.
  "python3-clients": runs("/usr/bin/python3", "-c", "import aiohttp, pip, requests"),
  go: runs("go", "version"),
  perl: runs("perl", "-v"),
  cc: runs("cc", "--version"),
  claude: installed("claude"),
  codex: installed("codex"),
  chromium: runs("chromium", "--version"),
} satisfies Record<string, Probe>;

export type Capability = keyof typeof PROBES;

const known = new Map<Capability, string | undefined>();

/** What is missing of a capability, or undefined; each is probed once per process. */
export function missing(name: Capability): string | undefined {
  if (!known.has(name)) {
    try {
      known.set(name, PROBES[name]());
    } catch (error) {
      known.set(name, error instanceof Error ? error.message : String(error));
    }
  }
  return known.get(name);
}

/**
 * Options for describe(name, requires("bwrap"), …) and test(name, requires("root"), …).
 *
 * A capability named in REQUIRE must be there: its absence is thrown and fails the file.
 */
export function requires(...names: Capability[]): { skip: boolean; meta: { skipReason?: string } } {
  const required = (process.env["REQUIRE"] ?? "").split(",");
  for (const name of names) {
    const why = missing(name);
    if (why === undefined) continue;
    if (required.includes(name)) throw new Error(`REQUIRE names ${name}, which is missing: ${why}`);
    return { skip: true, meta: { skipReason: `${name}: ${why}` } };
  }
  return { skip: false, meta: {} };
}
