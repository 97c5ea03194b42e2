/**
 * What one smolvm can do: its version and the flags that its own help names, asked once per program and kept in the cache
 * under the program's path, size and time of change. Other products have a program of this name, so both must fit.
 */
import { createHash } from "node:crypto";
import { readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import * as z from "zod/mini";
import { BottleError, HostError, systemCode } from "../../base/errors.ts";
import type { HostPath } from "../../base/ids.ts";
import { parseJson } from "../../base/json.ts";
import { makeDirectory } from "../../base/make-directory.ts";
import type { Exec } from "../../process/exec.ts";
import { INSTALL_HINT } from "./program.ts";
import { compareVersions, FIRST_SOCKETS_VERSION, judgeVersion, parseVersion } from "./version.ts";

const HELP_TIMEOUT_MS = 20_000;
const MAX_HELP_BYTES = 1_048_576;
const VERBS = ["create", "start", "exec", "status", "stop", "delete"] as const;
type Verb = (typeof VERBS)[number];

/** Flags without which no machine is isolated as it must be, by verb. */
const REQUIRED: Readonly<Partial<Record<Verb, readonly string[]>>> = {
  create: ["name", "image", "label", "cpus", "mem", "volume", "mount-socket"],
  start: ["name"],
  exec: ["name", "interactive", "tty", "workdir", "env", "secret-env"],
  status: ["name", "json"],
  delete: ["name", "force"],
};

/** Version and flags of one program. */
export interface SmolvmFeatures {
  readonly version: string;
  /** Flags without their hyphens, by verb. */
  readonly flags: Readonly<Record<string, readonly string[]>>;
}

const featuresSchema = z.strictObject({
  version: z.string().check(z.regex(/^\d+\.\d+\.\d+$/)),
  flags: z.record(z.string(), z.array(z.string())),
});

/** How a program is asked. */
export interface FeatureQuestion {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly exec: Exec;
  /** The program's file, whose change makes the answer stale. */
  readonly program: HostPath;
  /** Undefined: nothing is kept. */
  readonly cacheDir: HostPath | undefined;
}

/** True when a verb has a flag. */
export function hasFlag(features: SmolvmFeatures, verb: Verb | "machine", flag: string): boolean {
  return features.flags[verb]?.includes(flag) === true;
}

/** Asks the program, or the cache. Throws HostError `host.backend-unavailable` when it is no smolvm that can be used. */
export async function readFeatures(question: FeatureQuestion): Promise<SmolvmFeatures> {
  const file = cacheFile(question);
  const known = file === undefined ? undefined : readCache(file);
  if (known !== undefined) return known;
  const version = await askVersion(question);
  const flags: Record<string, readonly string[]> = {};
  for (const verb of VERBS) flags[verb] = parseFlags(await help(question, ["machine", verb]));
  const features = { version, flags };
  if (file !== undefined) writeCache(file, features);
  return features;
}

async function askVersion(question: FeatureQuestion): Promise<string> {
  const text = await ask(question, ["--version"]);
  const version = parseVersion(text);
  if (version !== undefined) return version;
  throw new HostError(
    "host.backend-unavailable",
    `${question.program} is another program: it says "${text.slice(0, 80).trim()}"; "smolvm X.Y.Z" is expected`,
    { hint: INSTALL_HINT },
  );
}

const help = (question: FeatureQuestion, verb: readonly string[]): Promise<string> =>
  ask(question, [...verb, "--help"]);

/** Empty when the program does not know what is asked: then the flags are missing, and that is said. */
async function ask(question: FeatureQuestion, args: readonly string[]): Promise<string> {
  const { stdout, stderr, exitCode } = await question.exec.run([...question.argv, ...args], {
    env: question.env,
    cwd: "/",
    timeoutMs: HELP_TIMEOUT_MS,
    maxOutputBytes: MAX_HELP_BYTES,
  });
  if (exitCode === 0) return stdout.toString("utf8");
  if (args[0] !== "--version") return "";
  const said = stderr.toString("utf8").trim().split("\n").at(-1) ?? "";
  throw new HostError(
    "host.backend-unavailable",
    `${question.program} cannot be asked for its version: ${said === "" ? `exit status ${exitCode}` : said}`,
    { hint: INSTALL_HINT },
  );
}

/** The long flags that a help text declares, each at the beginning of its line. */
export function parseFlags(text: string): readonly string[] {
  const flags = [...text.matchAll(/^ {2,10}(?:-[A-Za-z], )?--([a-z][a-z0-9-]*)/gm)];
  return [...new Set(flags.map((match) => match[1] ?? ""))].sort();
}

/** Why this smolvm cannot hold a bottle whose doors are sockets; undefined when it can. */
export function explainUnfit(features: SmolvmFeatures): string | undefined {
  const verdict = judgeVersion(features.version);
  if (verdict.kind === "refused") return verdict.reason;
  if (verdict.kind === "tsi")
    return `smolvm ${features.version} has no socket mounts; it serves attachment: tsi only, which filters by address`;
  const missing = Object.entries(REQUIRED).flatMap(([verb, flags]) =>
    flags
      .filter((flag) => features.flags[verb]?.includes(flag) !== true)
      .map((flag) => `machine ${verb} --${flag}`),
  );
  if (missing.length === 0) return undefined;
  return `smolvm ${features.version} does not have ${missing.join(", ")}`;
}

/** Refuses what {@link explainUnfit} names. Throws HostError `host.backend-unavailable`. */
export function requireSockets(features: SmolvmFeatures): void {
  const reason = explainUnfit(features);
  if (reason === undefined) return;
  const isOld = compareVersions(features.version, FIRST_SOCKETS_VERSION) < 0;
  throw new HostError("host.backend-unavailable", `smolmachines cannot be used: ${reason}`, {
    hint: isOld
      ? `update it to ${FIRST_SOCKETS_VERSION} or later: pip install --upgrade smolmachines`
      : "install a release of smolvm that has these flags, or use another backend",
  });
}

function cacheFile({ cacheDir, program }: FeatureQuestion): string | undefined {
  if (cacheDir === undefined) return undefined;
  const { size, mtimeMs } = statSync(program);
  const key = createHash("sha256").update(`${program}\0${size}\0${mtimeMs}`).digest("hex");
  return join(cacheDir, "smolvm", `features-${key.slice(0, 16)}.json`);
}

function readCache(file: string): SmolvmFeatures | undefined {
  try {
    return featuresSchema.safeParse(parseJson(readFileSync(file, "utf8"))).data;
  } catch (error) {
    if (systemCode(error) === undefined && !(error instanceof SyntaxError)) throw error;
    return undefined;
  }
}

/** The next launch asks again where the cache cannot be written. */
function writeCache(file: string, features: SmolvmFeatures): void {
  try {
    makeDirectory(dirname(file));
    const temporary = `${file}.${process.pid}`;
    writeFileSync(temporary, JSON.stringify(features), { mode: 0o600 });
    renameSync(temporary, file);
  } catch (error) {
    if (systemCode(error) === undefined && !(error instanceof BottleError)) throw error;
  }
}
