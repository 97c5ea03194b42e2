/** Reads the values of a plan's secrets at launch. Values go into Secret objects at once; errors name the variable only. */
import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { LaunchError, ManifestError, systemCode } from "../base/errors.ts";
import { Secret, type Secrets } from "../base/secret.ts";
import type { Exec } from "../process/exec.ts";
import { readHostLogin } from "./host-login.ts";
import { requireInputs } from "./missing-inputs.ts";
import type { SecretPlan } from "./plan.ts";

/** Longest value of one secret: more than any token, less than a mistake such as a disk image. */
export const MAX_SECRET_BYTES = 65_536;
/** Shortest credential: the shortest value that scanning looks for. */
export const MIN_CREDENTIAL_LENGTH = 8;
/** How long a command that prints a secret may take, in milliseconds: a password manager may ask its owner. */
export const SECRET_COMMAND_MS = 60_000;
/** Bytes of randomness of a generated value; 32 URL-safe characters. */
const GENERATED_BYTES = 24;

export interface SecretPorts {
  readonly exec: Exec;
  /** The operator's environment, read once by the caller. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Asks on the terminal without echo; undefined when there is none. */
  readonly prompt: ((message: string) => Promise<string>) | undefined;
}

/** Resolves every secret of a plan. Throws ManifestError, LaunchError or UsageError naming the variable, never the value. */
export async function resolveSecrets(
  plans: readonly SecretPlan[],
  ports: SecretPorts,
): Promise<Secrets> {
  requireInputs(plans, ports);
  const secrets = new Map<string, Secret>();
  const names = plans.flatMap(({ source }) => (source.kind === "env" ? [source.name] : []));
  const commandEnv = withoutNames(ports.env, names);
  for (const plan of plans) {
    const value = await readValue(plan, { ...ports, commandEnv });
    checkValue(plan, value);
    secrets.set(plan.slot, new Secret(plan.source.name, value));
  }
  return secrets;
}

/** Where an empty value is to be mended. */
const EMPTY_HINTS: Readonly<
  Partial<Record<SecretPlan["source"]["kind"], (name: string) => string>>
> = {
  prompt: (name) => `start again and type a value where ${name} is asked for`,
  file: (name) => `write the value into the file that is named for ${name}`,
  command: (name) => `run the command for ${name} by hand: it printed nothing`,
};

function checkValue(plan: SecretPlan, value: string): void {
  const { name, kind } = plan.source;
  if (value === "") {
    throw new ManifestError(
      "manifest.missing-variable",
      `secret ${name} is empty; a value is expected`,
      {
        hint: EMPTY_HINTS[kind]?.(name) ?? `set ${name} before starting the bottle`,
      },
    );
  }
  if (value.length > MAX_SECRET_BYTES || /[\0\r\n]/.test(value)) {
    throw new ManifestError(
      "manifest.secret-file",
      `secret ${name} cannot be used: it has several lines or is too long`,
    );
  }
  if (plan.guestVariable === undefined) checkLength(name, value);
}

interface ReadPorts extends SecretPorts {
  /** The operator's environment, for the operator's own commands, without this bottle's other secrets. */
  readonly commandEnv: Readonly<Record<string, string>>;
}

async function readValue(plan: SecretPlan, ports: ReadPorts): Promise<string> {
  const { source } = plan;
  switch (source.kind) {
    case "env":
      return ports.env[source.name] ?? "";
    case "file":
      return readSecretFile(source.name, source.path);
    case "command":
      return fromCommand(source.name, source.argv, ports);
    case "host-login":
      return (await readHostLogin(source)).token.reveal();
    case "prompt":
      return (await ports.prompt?.(source.message)) ?? "";
    case "generated":
      return randomBytes(GENERATED_BYTES).toString("base64url");
  }
}

/** A credential must be long enough to be searched for: what could not be found could not be kept in. */
function checkLength(name: string, value: string): void {
  if (value.length >= MIN_CREDENTIAL_LENGTH) return;
  throw new ManifestError(
    "manifest.secret-file",
    `credential ${name} cannot be used: it is shorter than ${MIN_CREDENTIAL_LENGTH} characters, so nothing could search for it`,
  );
}

/** Reads a secret from a file that only its owner may read. Throws ManifestError `manifest.secret-file`. */
async function readSecretFile(name: string, path: string): Promise<string> {
  const refuse = (why: string, hint?: string): ManifestError =>
    new ManifestError(
      "manifest.secret-file",
      `secret ${name} cannot be read from ${path}: ${why}`,
      { hint },
    );
  try {
    await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const info = await file.stat();
    if (!info.isFile()) throw refuse("it is not a regular file");
    if ((info.mode & 0o077) !== 0) throw refuse("others may read it", `chmod 600 ${path}`);
    if (info.size > MAX_SECRET_BYTES) throw refuse(`it is larger than ${MAX_SECRET_BYTES} bytes`);
    return (await file.readFile("utf8")).replace(/\r?\n$/, "");
  } catch (error) {
    if (error instanceof ManifestError) throw error;
    throw refuse(systemCode(error) ?? "it cannot be opened");
  }
}

async function fromCommand(
  name: string,
  argv: readonly string[],
  ports: ReadPorts,
): Promise<string> {
  const result = await ports.exec.run(argv, {
    env: ports.commandEnv,
    timeoutMs: SECRET_COMMAND_MS,
    maxOutputBytes: MAX_SECRET_BYTES,
    name: argv[0] ?? name,
  });
  if (result.exitCode === 0) return result.stdout.toString("utf8").replace(/\r?\n$/, "");
  throw new LaunchError(
    "launch.secret-command",
    `the command for ${name} failed: "${argv[0]}" ended with ${result.exitCode ?? result.signal}`,
    {
      hint: "run the command by hand to see its message",
    },
  );
}

function withoutNames(
  env: SecretPorts["env"],
  names: readonly string[],
): Readonly<Record<string, string>> {
  const entries = Object.entries(env).filter(
    (entry): entry is [string, string] => entry[1] !== undefined && !names.includes(entry[0]),
  );
  return Object.fromEntries(entries);
}
