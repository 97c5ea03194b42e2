/**
 * The answers of a smolvm of the current family without any machine: names, validation, texts, exit statuses and status objects, as
 * recorded from the real one. Pure: what it would do to a machine is returned, and its caller does it or not.
 */

/** One machine as the fake keeps it. */
export interface FakeMachine {
  readonly name: string;
  readonly image: string;
  readonly cpus: number;
  readonly memoryMiB: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly volumes: readonly string[];
  readonly sockets: readonly string[];
  readonly ports: number;
  readonly command: readonly string[];
  /** Undefined while it does not run. */
  readonly pid: number | undefined;
  readonly hasData: boolean;
}

/** What the fake sees of the host. */
export interface FakeWorld {
  readonly machines: readonly FakeMachine[];
  readonly kindOf: (path: string) => "file" | "directory" | undefined;
  readonly nowSeconds: number;
}

/** What follows from a command for the machines. */
export type FakeEffect =
  | { readonly kind: "none" }
  | { readonly kind: "create"; readonly machine: FakeMachine }
  | { readonly kind: "start" | "stop" | "delete" | "touch"; readonly name: string };

/** What a command answers; a start is answered by {@link startedAnswer} once the machine runs. */
export interface FakeAnswer {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly effect: FakeEffect;
}

const VERSION = "smolvm 1.32.2\n";
const CREATE_FLAGS = [
  ...["name", "label", "image", "cpus", "mem", "volume", "port", "mount-socket"],
  ...["secret-env", "user", "stop-on-exit", "state-dir"],
];
const EXEC_FLAGS = [
  "name",
  "workdir",
  "user",
  "env",
  "secret-env",
  "interactive",
  "tty",
  "state-dir",
];
const HELP: Readonly<Record<string, readonly string[]>> = {
  create: CREATE_FLAGS,
  start: ["name", "state-dir"],
  exec: EXEC_FLAGS,
  status: ["name", "json", "state-dir"],
  stop: ["name", "state-dir"],
  delete: ["name", "force", "state-dir"],
  ls: ["json", "state-dir"],
};
/** Flags that take no value. */
const SWITCHES = new Set(["json", "force", "interactive", "tty", "stop-on-exit", "help"]);
const MAX_NAME = 128;
const NONE: FakeEffect = { kind: "none" };

const says = (stdout: string, effect: FakeEffect = NONE): FakeAnswer => ({
  exitCode: 0,
  stdout,
  stderr: "",
  effect,
});

const fails = (message: string): FakeAnswer => ({
  exitCode: 1,
  stdout: "",
  stderr: `Error: ${message}\n`,
  effect: NONE,
});

const config = (message: string): FakeAnswer => fails(`config operation failed: ${message}`);

const misused = (message: string, usage: string): FakeAnswer => ({
  exitCode: 2,
  stdout: "",
  stderr: `error: ${message}\n\nUsage: smolvm ${usage}\n\nFor more information, try '--help'.\n`,
  effect: NONE,
});

/** Answers one command, `--state-dir` taken out. */
export function answerSmolvm(args: readonly string[], world: FakeWorld): FakeAnswer {
  if (args[0] === "--version") return says(VERSION);
  const [, verb = ""] = args;
  const flags = HELP[verb];
  if (args[0] !== "machine" || flags === undefined)
    return misused(`unrecognized subcommand '${verb}'`, "machine [OPTIONS] <COMMAND>");
  const given = parseFlags(args.slice(2));
  if (given.flags.has("help")) return says(flags.map((flag) => `      --${flag}\n`).join(""));
  return answerVerb(verb, given, world);
}

interface Given {
  readonly flags: ReadonlyMap<string, readonly string[]>;
  readonly command: readonly string[];
}

function parseFlags(args: readonly string[]): Given {
  const flags = new Map<string, readonly string[]>();
  const end = args.indexOf("--");
  const own = end < 0 ? args : args.slice(0, end);
  for (let at = 0; at < own.length; at += 1) {
    const name = own[at]?.replace(/^--/, "") ?? "";
    const value = SWITCHES.has(name) ? "" : (own[(at += 1)] ?? "");
    flags.set(name, [...(flags.get(name) ?? []), value]);
  }
  return { flags, command: end < 0 ? [] : args.slice(end + 1) };
}

function answerVerb(verb: string, given: Given, world: FakeWorld): FakeAnswer {
  if (verb === "ls") return answerList(given, world);
  const name = given.flags.get("name")?.[0];
  if (verb === "create") return answerCreate(name ?? "vm-00000000", given, world);
  if (name === undefined && verb === "delete") {
    const missing = "the following required arguments were not provided:\n  --name <NAME>";
    return misused(missing, "machine delete --name <NAME>");
  }
  const machine = world.machines.find((it) => it.name === name);
  const isJson = given.flags.has("json");
  if (machine !== undefined) return answerMachine(verb, given, { machine, world });
  return isJson
    ? config(`machine status: machine '${name}' not found`)
    : fails(`vm not found: ${name}`);
}

function answerList(given: Given, world: FakeWorld): FakeAnswer {
  if (!given.flags.has("json"))
    return says(world.machines.length === 0 ? "No machines found\n" : "");
  const list = world.machines.map((machine) => statusOf(machine, world));
  return says(`${JSON.stringify(list, null, 2)}\n`);
}

interface Known {
  readonly machine: FakeMachine;
  readonly world: FakeWorld;
}

function answerMachine(verb: string, given: Given, { machine, world }: Known): FakeAnswer {
  const { name, pid } = machine;
  switch (verb) {
    case "status":
      if (given.flags.has("json"))
        return says(`${JSON.stringify(statusOf(machine, world), null, 2)}\n`);
      return says(
        `Machine '${name}': ${pid === undefined ? "created" : `running (PID: ${pid})`}\n`,
        { kind: "touch", name },
      );
    case "start":
      if (pid !== undefined) return says(`Machine '${name}' already running (PID: ${pid})\n`);
      return says("", { kind: "start", name });
    case "stop":
      if (pid === undefined) return says(`Machine '${name}' is not running (state: created)\n`);
      return says(`Stopped machine: ${name}\n`, { kind: "stop", name });
    case "exec":
      return answerExec(machine);
    default:
      return answerDelete(machine, given);
  }
}

function answerExec({ name, pid }: FakeMachine): FakeAnswer {
  if (pid !== undefined) return fails("the fake runs no command in a machine");
  const answer = fails(
    `agent operation failed: connect: machine '${name}' is not running. Start it with 'smolvm machine start --name ${name}'; if a start is already in progress, retry once it finishes.`,
  );
  return { ...answer, effect: { kind: "touch", name } };
}

function answerDelete({ name, pid, hasData }: FakeMachine, given: Given): FakeAnswer {
  if (!given.flags.has("force")) {
    return fails(
      `agent operation failed: delete: machine '${name}' needs confirmation but stdin is not a terminal; pass --force to delete it, or --cascade to remove it together with any machines branched from it`,
    );
  }
  const steps = [
    ...(pid === undefined ? [] : [`Stopping machine '${name}'...`]),
    ...(hasData ? [`Cleaning up data directory for vm: ${name}`] : []),
    `Deleted machine: ${name}`,
  ];
  return says(`${steps.join("\n")}\n`, { kind: "delete", name });
}

/** What a start prints once the machine is this process. */
export function startedAnswer(name: string, pid: number): FakeAnswer {
  const answer = says(`Machine '${name}' running (PID: ${pid})\n`);
  return { ...answer, stderr: `Starting machine '${name}'...\n` };
}

function answerCreate(name: string, given: Given, world: FakeWorld): FakeAnswer {
  const fault =
    findSocketFault(given) ??
    findValueFault(given) ??
    findShareFault(given, world) ??
    findSizeFault(given);
  if (fault !== undefined) return fault;
  const nameFault = findNameFault(name, world);
  if (nameFault !== undefined) return config(`create machine: ${nameFault}`);
  const all = (flag: string): readonly string[] => given.flags.get(flag) ?? [];
  const machine: FakeMachine = {
    name,
    image: all("image")[0] ?? "",
    cpus: Number(all("cpus")[0] ?? 4),
    memoryMiB: Number(all("mem")[0] ?? 8192),
    labels: Object.fromEntries(all("label").map(splitLabel)),
    volumes: all("volume"),
    sockets: all("mount-socket"),
    ports: all("port").length,
    command: given.command,
    pid: undefined,
    hasData: false,
  };
  return says(createdText(machine), { kind: "create", machine });
}

function splitLabel(label: string): readonly [string, string] {
  const at = label.indexOf("=");
  return [label.slice(0, at), label.slice(at + 1)];
}

function createdText({ name, cpus, memoryMiB, volumes, ports }: FakeMachine): string {
  return [
    `Created machine: ${name}`,
    `  CPUs: ${cpus}, Memory: ${memoryMiB} MiB`,
    ...(volumes.length === 0 ? [] : [`  Mounts: ${volumes.length}`]),
    ...(ports === 0 ? [] : [`  Ports: ${ports}`]),
    "",
    `Use 'smolvm machine start --name ${name}' to start the machine`,
    `Then use 'smolvm machine exec --name ${name} -- <command>' to run commands`,
    "",
  ].join("\n");
}

function findNameFault(name: string, world: FakeWorld): string | undefined {
  const odd = /[^A-Za-z0-9_-]/.exec(name)?.[0];
  if (odd !== undefined) return `machine name contains invalid character: '${odd}'`;
  if (name.includes("--")) return "machine name cannot contain consecutive hyphens";
  if (name.endsWith("-")) return `machine name cannot end with a hyphen (got: "${name}")`;
  if (name.length > MAX_NAME)
    return `machine name too long: ${name.length} characters (max ${MAX_NAME})`;
  if (world.machines.some((machine) => machine.name === name))
    return `machine '${name}' already exists or is being created`;
  return undefined;
}

/** A host path is taken as it is, however long, and also when it is relative. */
function findSocketFault(given: Given): FakeAnswer | undefined {
  const seen = new Set<string>();
  for (const spec of given.flags.get("mount-socket") ?? []) {
    const [host, guest] = spec.split(":");
    if (host === undefined || guest === undefined)
      return config(`mount-socket: expected HOST_PATH:GUEST_PATH, got '${spec}'`);
    if (!guest.startsWith("/"))
      return config(`publish-socket: guest path '${guest}' must be absolute`);
    if (/[;|]/.test(guest))
      return config(
        `publish-socket: guest path '${guest}' contains an unsupported character (';' or '|')`,
      );
    if (seen.has(guest))
      return config(`mount-socket: guest path '${guest}' is mounted more than once`);
    seen.add(guest);
  }
  return undefined;
}

function findValueFault(given: Given): FakeAnswer | undefined {
  for (const flag of ["label", "secret-env"]) {
    const odd = given.flags.get(flag)?.find((value) => !value.includes("="));
    if (odd !== undefined) return config(`--${flag}: expected KEY=VALUE, got '${odd}'`);
  }
  return undefined;
}

/** Any file is taken for an image, and any directory of the guest for a target. */
function findShareFault(given: Given, world: FakeWorld): FakeAnswer | undefined {
  const image = given.flags.get("image")?.[0] ?? "";
  if (image.startsWith("/") && world.kindOf(image) === undefined)
    return config(`--image: cannot read archive ${image}: No such file or directory (os error 2)`);
  for (const spec of given.flags.get("volume") ?? []) {
    const host = spec.split(":")[0] ?? "";
    const kind = world.kindOf(host);
    if (kind === undefined) return fails(`mount source not found: ${host}`);
    if (kind === "file")
      return fails(
        `mount operation failed: validate host path: source path on host must be a directory (virtiofs limitation): ${host}`,
      );
  }
  return undefined;
}

function findSizeFault(given: Given): FakeAnswer | undefined {
  if (given.flags.get("cpus")?.[0] === "0")
    return config("validate resources: CPU count must be at least 1");
  const memory = Number(given.flags.get("mem")?.[0] ?? 8192);
  if (memory < 64)
    return config(`validate resources: memory must be at least 64 MiB (got ${memory} MiB)`);
  return undefined;
}

/** The status object with every field of the real one, in its order. A port is no network to it, whatever a port means. */
function statusOf(machine: FakeMachine, world: FakeWorld): Readonly<Record<string, unknown>> {
  const { name, image, cpus, memoryMiB, labels, volumes, ports, command, pid } = machine;
  const kind = world.kindOf(image);
  return {
    ...{ block_io: "sync", branchable: false, branchpoint_held: false, cmd: command, cpus },
    ...{ created_at: world.nowSeconds, cuda: false, cuda_branch_pool_size: null },
    ...{ cuda_fork_pool_size: null, cuda_vram_limit_mib: null, detached: false },
    ...{ disk_durability: "full", disks: [], entrypoint: [], ephemeral: false, forkable: false },
    ...{ forkpoint_held: false, gpu: false, gpu_vram_mib: null, health_cmd: null },
    ...{ health_interval_secs: null, health_retries: null, health_startup_grace_secs: null },
    ...{ health_timeout_secs: null },
    image: kind === "directory" ? `local-dir:${image}` : `local:${"0".repeat(64)}`,
    ...{ labels, memory_mib: memoryMiB, mounts: volumes.length, name, network: false },
    ...{ overlay_gb: null, parent_machine: null, pid: pid ?? null, ports },
    ...{ restart_count: 0, restart_max_retries: 0, restart_policy: "never" },
    state: pid === undefined ? "created" : "running",
    ...{ state_reason: null, storage_gb: null },
  };
}
