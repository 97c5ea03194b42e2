/** Reads of the machine what planning needs. Reads only; everything that varies is collected here, once. */
import { randomBytes, randomInt } from "node:crypto";
import { access, readdir, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { BackendName, BackendSurvey } from "../backends/contract.ts";
import { systemClock } from "../base/clock.ts";
import { BugError, systemCode } from "../base/errors.ts";
import { type HostPath, parseHostPath } from "../base/ids.ts";
import type { HomePaths } from "../base/paths.ts";
import type { Manifest } from "../manifest/types.ts";
import { terminalEnv } from "../process/env.ts";
import { listRecords } from "../protocol/record.ts";
import { providerNamed } from "../providers/registry.ts";
import { type LocatedProgram, locateProgram } from "../provision/program.ts";
import { GUEST_AGENTS } from "./guest-paths.ts";
import type { Facts } from "./plan.ts";

/** Host uids that guests run as when the owner is root: above every range that distributions hand out. */
const FIRST_GUEST_UID = 2_000_000_000;
const GUEST_UIDS = 100_000_000;

/** What the caller knows of this call. */
export interface FactsInput {
  readonly home: HomePaths;
  readonly userHome: HostPath;
  readonly userCwd: HostPath;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly manifest: Manifest;
  readonly hasTerminal: boolean;
  readonly defaultBackend: BackendName | undefined;
  readonly survey: BackendSurvey | undefined;
}

/** Collects the facts of one start. */
export async function readFacts(input: FactsInput): Promise<Facts> {
  const { home, env, manifest } = input;
  const isRoot = process.geteuid?.() === 0;
  const [taken, builds, program, skills, hostLogin] = await Promise.all([
    takenNames(home),
    builtFiles(),
    findProgram(manifest, env),
    findSkills(manifest, input.userHome),
    findLogin(input),
  ]);
  return {
    home,
    userHome: input.userHome,
    userCwd: input.userCwd,
    isRoot,
    freeUid: isRoot ? FIRST_GUEST_UID + randomInt(GUEST_UIDS) : undefined,
    takenNames: taken,
    random: {
      suffix: randomSuffix(),
      runName: randomBytes(4).toString("hex"),
      nonce: randomBytes(8).toString("hex"),
      canaryName: canaryName(),
    },
    nodePath: parseHostPath(process.execPath),
    guestInitPath: builds.guestInit,
    bundlePath: builds.bundle,
    defaultBackend: input.defaultBackend,
    survey: input.survey,
    image: env["BOT_BOTTLE_IMAGE"] === "" ? undefined : env["BOT_BOTTLE_IMAGE"],
    program,
    runtimeBase: runtimeBase(env),
    terminalEnv: terminalEnv(env),
    hasTerminal: input.hasTerminal,
    skills,
    hostLogin,
  };
}

async function findLogin({ manifest, userHome, env }: FactsInput): Promise<Facts["hostLogin"]> {
  const { provider } = manifest.bottle;
  if (!provider.forwardHostCredentials) return undefined;
  const { probeHostLogin } = await import("./host-login.ts");
  return probeHostLogin(provider.template, { userHome, env, nowMs: systemClock.now() });
}

async function takenNames(home: HomePaths): Promise<readonly string[]> {
  return (await listRecords(home.state)).map((found) => found.name);
}

/** Five characters of base 36, as the earlier system's slugs end. */
function randomSuffix(): string {
  return Array.from({ length: 5 }, () => randomInt(36).toString(36)).join("");
}

const CANARY_WORDS = [
  "ATLAS",
  "BASIL",
  "CEDAR",
  "DELTA",
  "EMBER",
  "FJORD",
  "GROVE",
  "HAZEL",
  "INDIGO",
  "JUNIPER",
  "KESTREL",
  "LOTUS",
];

/** A name that looks like any service's secret, different in each bottle. */
function canaryName(): string {
  const word = (): string => CANARY_WORDS[randomInt(CANARY_WORDS.length)] ?? "ATLAS";
  return `${word()}_${word()}_SECRET`;
}

function runtimeBase(env: FactsInput["env"]): HostPath {
  const given = env["XDG_RUNTIME_DIR"];
  return parseHostPath(given?.startsWith("/") === true && given.length < 40 ? given : tmpdir());
}

/** The built single files: beside this module in a package, in dist/ when running from source. */
async function builtFiles(): Promise<{ readonly guestInit: HostPath; readonly bundle: HostPath }> {
  const here = dirname(fileURLToPath(import.meta.url));
  for (const directory of [here, join(here, ".."), join(here, "../../dist")]) {
    const guestInit = join(directory, "guest-init.js");
    if (await exists(guestInit))
      return {
        guestInit: parseHostPath(guestInit),
        bundle: parseHostPath(join(directory, "bundle.js")),
      };
  }
  throw new BugError(`guest-init.js was not found near ${here}`, {
    hint: "build first: node scripts/build.ts",
  });
}

async function exists(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch (error) {
    if (systemCode(error) === "ENOENT") return false;
    throw error;
  }
}

async function findProgram(manifest: Manifest, env: FactsInput["env"]): Promise<Facts["program"]> {
  return locateAgent(manifest.bottle.provider.template, env);
}

/**
 * The program of a provider on this host; undefined when it is not installed or the provider has none. Throws HostError
 * `host.agent-missing` when what is installed cannot run in a bottle.
 */
export async function locateAgent(
  providerName: string,
  env: FactsInput["env"],
): Promise<LocatedProgram | undefined> {
  const program = providerNamed(providerName)?.program;
  if (program === undefined) return undefined;
  return locateProgram(program, {
    searchPath: env["PATH"] ?? "",
    override: env[program.variable],
    guestDirectory: GUEST_AGENTS,
  });
}

async function findSkills(
  manifest: Manifest,
  userHome: HostPath,
): Promise<Readonly<Record<string, HostPath>>> {
  const directory = providerNamed(manifest.bottle.provider.template)?.skillsDir?.host;
  if (directory === undefined || manifest.agent.skills.length === 0) return {};
  const root = join(userHome, directory);
  const found: Record<string, HostPath> = {};
  for (const name of await listSkillNames(root)) found[name] = parseHostPath(join(root, name));
  return found;
}

async function listSkillNames(root: string): Promise<string[]> {
  try {
    const names = await readdir(root);
    const kinds = await Promise.all(names.map((name) => stat(join(root, name))));
    return names.filter((_, index) => kinds[index]?.isDirectory() === true);
  } catch (error) {
    if (systemCode(error) === "ENOENT") return [];
    throw error;
  }
}
