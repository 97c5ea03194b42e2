/**
 * `--detach`: the same owner in a session of its own, with logs in files. Plan and secrets travel over its stdin; it answers
 * on its stdout with one line once the agent runs, or with the failure.
 */
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { BugError, LaunchError } from "../base/errors.ts";
import { parseJson } from "../base/json.ts";
import { LineSplitter } from "../base/lines.ts";
import { makeDirectory } from "../base/make-directory.ts";
import type { BottlePlan, Secrets } from "../index.ts";
import { createExec } from "../process/spawn.ts";
import type { CommandIo } from "./command.ts";

/** What the detached owner reads from its stdin. */
export interface DetachedStart {
  readonly plan: BottlePlan;
  /** Slot → name and value. */
  readonly secrets: Readonly<Record<string, { readonly name: string; readonly value: string }>>;
  readonly eventsFile: string | undefined;
}

/** What it answers: exactly one line. */
export type DetachedAnswer =
  | { readonly kind: "running"; readonly slug: string; readonly pid: number }
  | {
      readonly kind: "failed";
      readonly status: number;
      readonly text: string;
      /** The failure as `--json` shows it. */
      readonly error?: Record<string, unknown>;
    };

/** How a detached start is asked for. */
export interface DetachOptions {
  readonly eventsFile: string | undefined;
  /** Answer with one line of JSON. */
  readonly isJson: boolean;
}

/** Variables the detached owner keeps. */
const OWNER_VARIABLES = [
  "PATH",
  "HOME",
  "BOT_BOTTLE_HOME",
  "XDG_RUNTIME_DIR",
  "BOT_BOTTLE_DEBUG",
  // Where engines and their parts are found.
  "DOCKER_HOST",
  "DOCKER_CONTEXT",
  "DOCKER_CONFIG",
  "DOCKER_CERT_PATH",
  "DOCKER_TLS_VERIFY",
  "BOT_BOTTLE_BASE_IMAGE",
  "BOT_BOTTLE_BUILD_CA",
  "BOT_BOTTLE_SIDECAR_IMAGE",
  "BOT_BOTTLE_SMOLVM",
  "SMOLVM_LIB_DIR",
  "SMOLVM_AGENT_ROOTFS",
] as const;

/** Starts the detached owner and waits until its agent runs. Returns the exit status. */
export async function detach(
  plan: BottlePlan,
  secrets: Secrets,
  io: CommandIo,
  options: DetachOptions,
): Promise<number> {
  makeDirectory(plan.home.home);
  const exec = createExec();
  const child = await exec.start([process.execPath, ownerEntry(), "__owner"], {
    env: ownerEnvironment(io),
    stdio: ["pipe", "pipe", "ignore"],
    placement: "session",
    name: "owner",
  });
  const values = [...secrets].map(([slot, secret]): [string, DetachedStart["secrets"][string]] => [
    slot,
    { name: secret.name, value: secret.reveal() },
  ]);
  const start = {
    plan,
    secrets: Object.fromEntries(values),
    eventsFile: options.eventsFile,
  } satisfies DetachedStart;
  child.stdin?.end(JSON.stringify(start));
  if (child.stdout === undefined) throw new BugError("the detached owner has no stdout");
  const answer = await readAnswer(child.stdout);
  if (answer.kind === "failed") {
    const { status, error } = answer;
    if (options.isJson && error !== undefined) io.output.json({ error });
    else io.output.error(answer.text);
    return status;
  }
  if (options.isJson) {
    io.output.json({ slug: answer.slug, pid: answer.pid });
    return 0;
  }
  io.output.print(answer.slug);
  io.output.note(
    `bot-bottle: running in the background (pid ${answer.pid}); stop it with bot-bottle stop ${answer.slug}`,
  );
  return 0;
}

/** Reads what {@link detach} sent. */
export function parseDetachedStart(json: string): DetachedStart {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the text is our own program's, over a pipe that only it has
  return parseJson(json) as DetachedStart;
}

/** This program's own entry: the CLI's built file, or its source. */
function ownerEntry(): string {
  return process.argv[1] ?? fileURLToPath(import.meta.url);
}

function ownerEnvironment(io: CommandIo): Record<string, string> {
  const entries = OWNER_VARIABLES.flatMap((name): [string, string][] => {
    const value = io.env.all[name];
    return value === undefined ? [] : [[name, value]];
  });
  return Object.fromEntries(entries);
}

async function readAnswer(stdout: Readable): Promise<DetachedAnswer> {
  const lines: string[] = [];
  const splitter = new LineSplitter((line) => lines.push(line), 65_536);
  for await (const chunk of stdout) {
    splitter.push(String(chunk));
    if (lines.length > 0) break;
  }
  stdout.destroy();
  const answer = parseAnswer(lines[0]);
  if (answer !== undefined) return answer;
  throw new LaunchError("launch.agent", "the detached owner ended before its agent ran", {
    hint: "start it without --detach to see why",
  });
}

function parseAnswer(line: string | undefined): DetachedAnswer | undefined {
  if (line === undefined) return undefined;
  const value = parseJson(line);
  if (typeof value !== "object" || value === null || !("kind" in value)) return undefined;
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the line is our own program's, over a pipe that only it has
  return value as DetachedAnswer;
}
