/** What `doctor` checks, each as data. Reads only; programs are asked for their version and nothing else. */
import { constants } from "node:fs";
import { access, mkdir, rm, stat, statfs } from "node:fs/promises";
import { dirname, join } from "node:path";
import { systemClock } from "../base/clock.ts";
import { BottleError, messageOf, systemCode } from "../base/errors.ts";
import { silentLogger } from "../base/log.ts";
import {
  BACKEND_NAMES,
  type BackendName,
  locateAgent,
  openBackend,
  PROVIDER_NAMES,
  providerNamed,
} from "../index.ts";
import { helperEnv } from "../process/env.ts";
import type { Exec } from "../process/exec.ts";
import { findBinary, installHint } from "../process/find-binary.ts";
import { createExec } from "../process/spawn.ts";
import type { CliEnv } from "./env.ts";

/** One thing that was looked at. */
export interface Check {
  readonly kind: "runtime" | "backend" | "program" | "agent" | "home";
  readonly name: string;
  /** `missing`: something needs it; `absent`: nothing breaks without it. */
  readonly state: "ok" | "missing" | "absent";
  /** What was found, or what is wrong. */
  readonly found: string;
  /** What to do; undefined when nothing is to be done. */
  readonly hint: string | undefined;
  readonly details: Readonly<Record<string, string>>;
}

const VERSION_MS = 10_000;
/** Less than this and a workspace copy or an agent's build will not fit. */
const LOW_DISK_BYTES: number = 1024 ** 3;
const MIN_NODE_MAJOR = 24;

/** Helper programs: what prints the version, and who cannot start a bottle without it. */
const PROGRAMS = [
  { name: "git", args: ["--version"], neededBy: "nobody" },
  { name: "ssh", args: ["-V"], neededBy: "nobody" },
  { name: "setpriv", args: ["--version"], neededBy: "root" },
  { name: "prlimit", args: ["--version"], neededBy: "nobody" },
] as const;

/** Looks at everything. */
export async function checkMachine(env: CliEnv): Promise<readonly Check[]> {
  const exec = createExec();
  const checks = await Promise.all([
    ...BACKEND_NAMES.filter((name) => name !== "fake").map((name) => checkBackend(name, env, exec)),
    ...PROGRAMS.map((program) => checkProgram(program, env, exec)),
    ...PROVIDER_NAMES.map((name) => checkAgent(name, env, exec)),
    checkHome(env),
    checkDisk(env),
  ]);
  const found = [checkNode(), ...checks.filter((check) => check !== undefined)];
  const hasBackend = found.some(({ kind, state }) => kind === "backend" && state === "ok");
  return found.map((check) => (hasBackend && !isChosen(check, env) ? asChoice(check) : check));
}

/** The operator asked for this backend, so that another one is no help. */
function isChosen({ kind, name }: Check, env: CliEnv): boolean {
  return kind === "backend" && name === env.backend;
}

/** Where one backend works, the others are choices. */
function asChoice(check: Check): Check {
  const isMissing = check.kind === "backend" && check.state === "missing";
  return isMissing ? { ...check, state: "absent" } : check;
}

function checkNode(): Check {
  const [major = "0"] = process.versions.node.split(".");
  const isOk = Number(major) >= MIN_NODE_MAJOR;
  return {
    kind: "runtime",
    name: "node",
    state: isOk ? "ok" : "missing",
    found: `${process.versions.node} (${process.execPath})`,
    hint: isOk ? undefined : `install Node ${MIN_NODE_MAJOR} or later`,
    details: {},
  };
}

async function checkBackend(name: BackendName, env: CliEnv, exec: Exec): Promise<Check> {
  try {
    const backend = await openBackend(name);
    const probe = await backend.probe({
      exec,
      clock: systemClock,
      log: silentLogger,
      searchPath: env.all["PATH"] ?? "",
      env: env.all,
    });
    const version = probe.version === undefined ? "" : `${probe.version}`;
    return {
      kind: "backend",
      name,
      state: probe.isAvailable ? "ok" : "missing",
      found: probe.isAvailable ? version : (probe.reason ?? "it does not work"),
      hint: probe.hint,
      details: probe.capabilities,
    };
  } catch (error) {
    // Whatever is wrong with one is no reason to say nothing of the others.
    const isPlanned = error instanceof BottleError && error.code === "host.backend-unavailable";
    return {
      kind: "backend",
      name,
      state: isPlanned ? "absent" : "missing",
      found: isPlanned ? "not in this version" : messageOf(error),
      hint: isPlanned || !(error instanceof BottleError) ? undefined : error.hint,
      details: {},
    };
  }
}

type Program = (typeof PROGRAMS)[number];

async function checkProgram(
  { name, args, neededBy }: Program,
  env: CliEnv,
  exec: Exec,
): Promise<Check> {
  const path = await findBinary(name, env.all["PATH"] ?? "");
  if (path === undefined) {
    return {
      kind: "program",
      name,
      state: neededBy === "root" && process.geteuid?.() === 0 ? "missing" : "absent",
      found: "not on PATH",
      hint: installHint(name),
      details: {},
    };
  }
  const version = await readVersion([path, ...args], env, exec);
  return {
    kind: "program",
    name,
    state: "ok",
    found: `${version} (${path})`,
    hint: undefined,
    details: {},
  };
}

/** The first line that a program prints about itself; where it says nothing of use, what happened instead. */
async function readVersion(argv: readonly string[], env: CliEnv, exec: Exec): Promise<string> {
  try {
    const { stdout, stderr, exitCode } = await exec.run(argv, {
      env: { ...helperEnv(env.all["PATH"] ?? ""), HOME: env.userHome },
      timeoutMs: VERSION_MS,
    });
    const text =
      `${stdout.toString("utf8")}\n${stderr.toString("utf8")}`.trim().split("\n")[0] ?? "";
    return exitCode === 0 && text !== "" ? text.slice(0, 200) : "version unknown";
  } catch (error) {
    return `does not run: ${messageOf(error)}`;
  }
}

/** The agent's program as a start would find it. */
async function checkAgent(provider: string, env: CliEnv, exec: Exec): Promise<Check | undefined> {
  const program = providerNamed(provider)?.program;
  if (program === undefined) return undefined;
  const check = { kind: "agent", name: provider, details: {} } as const;
  try {
    const located = await locateAgent(provider, env.all);
    if (located === undefined) {
      const hint = `npm install -g ${program.npmPackage}`;
      return { ...check, state: "absent", found: "not on PATH", hint };
    }
    const version = await readVersion([located.hostPath, "--version"], env, exec);
    return { ...check, state: "ok", found: `${version} (${located.hostPath})`, hint: undefined };
  } catch (error) {
    if (!(error instanceof BottleError)) throw error;
    return { ...check, state: "absent", found: error.message, hint: error.hint };
  }
}

/** A home that does not exist yet is judged by the directory that it would be made in. */
async function checkHome(env: CliEnv): Promise<Check> {
  const { home } = env.home;
  const check = { kind: "home", name: "home", details: {} } as const;
  try {
    const place = await nearestExisting(home);
    if (place !== home) await access(place, constants.W_OK | constants.X_OK);
    else await tryWriting(home);
    const note = place === home ? "" : ", not made yet";
    return { ...check, state: "ok", found: `${home}${note}`, hint: undefined };
  } catch (error) {
    const hint = "check its owner and mode, or set BOT_BOTTLE_HOME to a directory of yours";
    return {
      ...check,
      state: "missing",
      found: `${home} cannot be written: ${systemCode(error) ?? messageOf(error)}`,
      hint,
    };
  }
}

async function nearestExisting(path: string): Promise<string> {
  for (let place = path; ; place = dirname(place)) {
    try {
      await stat(place);
      return place;
    } catch (error) {
      if (systemCode(error) !== "ENOENT" || place === "/") throw error;
    }
  }
}

/** Rights say little on a read-only or full file system: a directory is made and removed. */
async function tryWriting(home: string): Promise<void> {
  const probe = join(home, `.doctor-${process.pid}`);
  await mkdir(probe, { mode: 0o700 });
  await rm(probe, { recursive: true });
}

async function checkDisk(env: CliEnv): Promise<Check> {
  const check = { kind: "home", name: "disk", details: {} } as const;
  try {
    const { bavail, bsize } = await statfs(await nearestExisting(env.home.home));
    const free = bavail * bsize;
    const isLow = free < LOW_DISK_BYTES;
    const found = `${(free / 1024 ** 3).toFixed(1)} GiB free`;
    return {
      ...check,
      state: isLow ? "missing" : "ok",
      found,
      hint: isLow ? "free some space: bot-bottle cleanup" : undefined,
    };
  } catch (error) {
    return { ...check, state: "missing", found: messageOf(error), hint: undefined };
  }
}
