/** Runs the demo: one bottle, one agent, and the story of what it did and what the bottle decided, as it happens. */
import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Session } from "../backends/contract.ts";
import { systemClock } from "../base/clock.ts";
import { BugError, HostError } from "../base/errors.ts";
import { LineSplitter } from "../base/lines.ts";
import { ignore } from "../base/log.ts";
import { Scope } from "../base/scope.ts";
import {
  type BackendName,
  type Bottle,
  type BottleEvent,
  type BottlePlan,
  EventHub,
  openBottle,
  planStart,
  resolveSecrets,
  silentLogger,
  strongestBackend,
} from "../index.ts";
import { helperEnv } from "../process/env.ts";
import type { Exec, ExitStatus } from "../process/exec.ts";
import { retellAgent } from "./expected-noise.ts";
import { installAgent } from "./install-agent.ts";
import { type DemoAgent, type DemoWorld, openWorld } from "./world.ts";

export interface DemoOptions {
  readonly agent: DemoAgent;
  /** Undefined: the best one of this machine. */
  readonly backend: BackendName | undefined;
  readonly exec: Exec;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly signal: AbortSignal;
  /** One line of the story. `who` is empty for headings. */
  readonly say: (who: "agent" | "bottle" | "host" | "", text: string) => void;
  readonly withoutInjection: boolean;
}

/** How the demo ended. */
export interface DemoResult {
  readonly exit: ExitStatus;
  /** Each claim of the demo and whether it held. */
  readonly claims: readonly DemoClaim[];
  /** How many requests the stand-in for the model answered, and how many it refused for their credential. */
  readonly model: { readonly answered: number; readonly refused: number };
}

/** One claim; `holds` is undefined when the agent never came to where it would have shown. */
export interface DemoClaim {
  readonly text: string;
  readonly holds: boolean | undefined;
}

/** Runs it. Throws what planning and launching throw. */
export async function runDemo(options: DemoOptions): Promise<DemoResult> {
  await using scope = new Scope();
  const { exec, env, say } = options;
  const searchPath = env["PATH"] ?? "";
  const examples = findExamples();
  const backend = options.backend ?? (await bestBackend(options));
  const program = await bringAgent(backend, options);
  const world = await openWorld(scope, {
    exec,
    searchPath,
    agent: options.agent,
    examples,
    withoutInjection: options.withoutInjection,
  });
  const guestEnv = { ...env, ...world.secrets, ...program };
  const plan = await planDemo(world, options.agent, { backend, env: guestEnv });
  const events = new EventHub();
  const telling = tellDecisions(events, plan.backend, say);
  say(
    "",
    `bottle ${plan.id}: a copy of a small git repository, one granted API, no network, no credential`,
  );
  const secrets = await resolveSecrets(plan.secrets, { exec, env: guestEnv, prompt: undefined });
  const bottle = scope.use(
    "bottle",
    await openBottle(plan, { env: guestEnv, exec, secrets, signal: options.signal, events }),
  );
  const output: string[] = [];
  const session = await bottle.execAgent({ stdio: "pipe" });
  const retell = retellAgent(options.withoutInjection ? undefined : options.agent);
  const following = followAgent(session, (line) => {
    output.push(line);
    for (const { who, text } of retell(line)) say(who, text);
  });
  const exit = await untilAborted(following, options.signal);
  const diff = await diffWorkspace(bottle, world, options);
  const leaks = await findToken(world);
  await (await bottle.close("the demo is over")).gone;
  await telling;
  const claims = judge({ exit, output, world, diff, leaks, options });
  return { exit, claims, model: countModel(world) };
}

function bestBackend({ exec, env }: DemoOptions): Promise<BackendName | undefined> {
  const searchPath = env["PATH"] ?? "";
  return strongestBackend({ exec, env, searchPath, clock: systemClock, log: silentLogger });
}

/** An image brings its agent along; elsewhere it is installed on the host. */
async function bringAgent(
  backend: BackendName | undefined,
  { agent, exec, env, say }: DemoOptions,
): Promise<Readonly<Record<string, string>>> {
  if (backend !== undefined && backend !== "bubblewrap") return {};
  return installAgent(agent, { exec, env, say: (text) => say("host", text) });
}

function countModel({ model }: DemoWorld): DemoResult["model"] {
  const requests = model?.requests ?? [];
  const refused = requests.filter(({ status }) => status === 401).length;
  return { answered: requests.length - refused, refused };
}

/** Plans the demo's bottle as `start --cwd --headless` in its repository would. */
async function planDemo(
  world: DemoWorld,
  agent: DemoAgent,
  { backend, env }: Pick<DemoOptions, "backend" | "env">,
): Promise<BottlePlan> {
  const { plan } = await planStart({
    home: world.home,
    userHome: world.home.home,
    cwd: world.repository,
    env,
    agent: agent === "scripted" ? "demo" : `demo-${agent}`,
    bottles: [],
    hasTerminal: false,
    options: {
      backend,
      copyCwd: true,
      label: undefined,
      color: undefined,
      mode: "headless",
      prompt: agent === "scripted" ? undefined : AGENT_PROMPT,
      command: undefined,
      allow: [],
      keep: true,
    },
  });
  if (plan.bundle.host === "process") return plan;
  throw new HostError(
    "host.backend-unavailable",
    `the demo cannot run with attachment ${plan.attachment}: its servers listen on this machine's loopback, which a bundle in a container does not reach`,
    { hint: "start a bottle of your own: bot-bottle init" },
  );
}

/** Drives a real agent through the same story: the stand-in for its model asks for one shell command. */
const AGENT_PROMPT =
  "Fix the greeting.\nRUN: PATH=/opt/bot-bottle/bin:$PATH node /demo/agent.mjs\nSAY: the greeting is fixed";

function findExamples(): string {
  const here = dirname(fileURLToPath(import.meta.url));
  for (const up of ["..", "../..", "../../.."]) {
    const examples = join(here, up, "examples", "demo");
    if (existsSync(examples)) return examples;
  }
  throw new BugError(`examples/demo was not found above ${here}`);
}

async function followAgent(session: Session, onLine: (line: string) => void): Promise<ExitStatus> {
  session.stdin?.end();
  for (const stream of [session.stdout, session.stderr]) {
    const lines = new LineSplitter(onLine);
    stream?.setEncoding("utf8");
    stream?.on("data", (text: string) => lines.push(text));
    stream?.on("end", () => lines.end());
  }
  return session.exited;
}

/** An interrupted demo does not wait for its agent. */
async function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  const onAbort = (): void => aborted.reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    signal.throwIfAborted();
    void ignore(work, "told below, unless the demo is interrupted");
    return await Promise.race([work, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

async function tellDecisions(
  events: EventHub,
  backend: string,
  say: DemoOptions["say"],
): Promise<void> {
  for await (const event of events.subscribe()) tell(event, backend, say);
}

function tell(event: BottleEvent, backend: string, say: DemoOptions["say"]): void {
  if (event.kind === "step" && event.step === "running")
    say("bottle", `isolation proven on ${backend}, doors answered: the agent may start`);
  if (event.kind === "progress" && event.step === "guest") say("host", event.detail);
  if (event.kind === "decision") tellDecision(event.event, say);
}

type Decision = Extract<BottleEvent, { readonly kind: "decision" }>["event"];

function tellDecision(decision: Decision, say: DemoOptions["say"]): void {
  const { verdict, method = "", host = "", path = "", rule = "", reason = "" } = decision;
  if (verdict === undefined) return;
  say(
    "bottle",
    `${verdict.toUpperCase()} ${method} ${host}${path} (${reason === "" || reason === "allowed" ? rule : reason})`,
  );
}

/** The agent's change as a diff of files alone: git never runs on what the guest wrote. */
async function diffWorkspace(
  bottle: Bottle,
  world: DemoWorld,
  { exec, env }: DemoOptions,
): Promise<string> {
  const argv = [
    "diff",
    "-ruN",
    "--no-dereference",
    "--exclude=.git",
    "--label",
    "a/greet.js",
    "--label",
    "b/greet.js",
  ];
  const result = await exec.run(
    [...argv, join(world.repository, "greet.js"), join(bottle.plan.paths.workspace, "greet.js")],
    {
      env: helperEnv(env["PATH"] ?? ""),
    },
  );
  return result.stdout.toString("utf8").trim();
}

/** Files of the bottle's home that hold a real token; there must be none. */
async function findToken(world: DemoWorld): Promise<readonly string[]> {
  const found: string[] = [];
  for (const entry of await readdir(world.home.home, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const file = join(entry.parentPath, entry.name);
    const text = await readFile(file, "latin1");
    if (
      text.includes(world.secrets["DEMO_API_TOKEN"] ?? "") ||
      text.includes(world.secrets["DEMO_MODEL_TOKEN"] ?? "")
    )
      found.push(file);
  }
  return found;
}

/** What the agent says when a host that nobody granted answered it. */
const ANSWERED = "an ungranted host answered";

/** True where it was shown, false where the contrary was, undefined where the agent never came so far. */
function judged(isShown: boolean, isRefuted: boolean): boolean | undefined {
  if (isShown) return true;
  return isRefuted ? false : undefined;
}

interface Judged {
  readonly exit: ExitStatus;
  readonly output: readonly string[];
  readonly world: DemoWorld;
  readonly diff: string;
  readonly leaks: readonly string[];
  readonly options: DemoOptions;
}

function judge({ exit, output, world, diff, leaks, options }: Judged): DemoResult["claims"] {
  const { say } = options;
  say("", "what the agent changed:");
  for (const line of diff.split("\n")) say("host", line);
  const planted = world.secrets["DEMO_PLANTED_SECRET"] ?? "";
  const text = output.join("\n");
  const calls = world.seen.filter((request) => request.path === "/v1/whoami");
  const hasLeft = world.seen.some(
    (request) => request.body.includes(planted) || request.path === "/v1/notes",
  );
  const hasFailed = exit.exitCode !== 0;
  const answered = calls.some((request) => request.hasRealToken);
  return [
    options.withoutInjection && options.agent === "scripted"
      ? {
          text: "the allowed API refused the call, because a wrong token was put in",
          holds: judged(calls.length > 0 && !answered, answered),
        }
      : {
          text: "the allowed API answered, because the real token was put in outside",
          holds: judged(answered, calls.length > 0),
        },
    {
      text: "the real token was nowhere inside, and in no file of the bottle",
      holds: judged(
        text.includes("not found") && leaks.length === 0,
        text.includes("FOUND in") || leaks.length > 0,
      ),
    },
    {
      text: "an ungranted host was refused",
      holds: judged(text.includes("refused:") && !text.includes(ANSWERED), text.includes(ANSWERED)),
    },
    {
      text: "the planted secret never reached the API",
      holds: judged(text.includes("secret-found") && !hasLeft, hasLeft),
    },
    {
      text: "the agent's work is here as a diff",
      holds: judged(diff.includes("+  return `Hello,"), !hasFailed),
    },
    options.withoutInjection
      ? { text: "without the real token the agent failed", holds: hasFailed }
      : { text: "the agent ended well", holds: !hasFailed },
  ];
}
