/** `start`: boots a bottle for an agent and runs it on the operator's terminal or pipes. This process owns the bottle. */
import {
  type BottlePlan,
  LaunchError,
  type PlannedStart,
  type PlanRequest,
  planStart,
  resolveSecrets,
  type StartOptions,
  UsageError,
} from "../../index.ts";
import { createExec } from "../../process/spawn.ts";
import { askSecret, askYesNo, hasTerminal } from "../ask.ts";
import { cleanLine } from "../clean-text.ts";
import type { Command, CommandIo, ParsedArgs } from "../command.ts";
import { confirmOnTerminal } from "../confirm-trust.ts";
import { detach } from "../detach.ts";
import { cwdGone } from "../env.ts";
import { backendFlag, chosenBackend } from "../flags/backend.ts";
import { flagList, flagText, isSet } from "../flags/read.ts";
import { offerInit } from "../offer-init.ts";
import { describePlan, renderPreflight, renderPreview } from "../preflight.ts";
import { openRelays, type Relays, runBottle } from "../run-bottle.ts";

/** The colours that every terminal has. */
const HUES = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"] as const;
const LABEL_COLORS: readonly string[] = [...HUES, ...HUES.map((name) => `bright-${name}`)];

export const startCommand: Command = {
  name: "start",
  summary: "start an agent in a new bottle",
  description:
    "Start an agent in a new bottle. The program's exit status is the exit status; failures of bot-bottle itself end with 125.",
  passesStatus: true,
  acceptsRest: true,
  args: [{ name: "agent", summary: "agent to start (see bot-bottle list)", completes: "agent" }],
  flags: [
    { name: "headless", summary: "no questions; run --prompt, or the program after --" },
    { name: "prompt", value: "text", summary: "what the agent is to do (headless)" },
    { name: "cwd", summary: "give the agent a copy of the current directory" },
    {
      name: "bottle",
      value: "name",
      isRepeatable: true,
      completes: "bottle-file",
      summary: "bottle file to use instead of the agent's own; repeat to merge in order",
    },
    backendFlag,
    {
      name: "allow",
      value: "host[:port]",
      isRepeatable: true,
      summary: "grant one host for this launch only",
    },
    { name: "label", value: "text", summary: "name of the bottle instead of a random one" },
    { name: "color", value: "name", choices: LABEL_COLORS, summary: "colour of the label" },
    { name: "dry-run", summary: "show the plan and start nothing" },
    { name: "json", summary: "with --dry-run: the plan as JSON; with --detach: slug and pid" },
    { name: "yes", short: "y", summary: "do not ask before starting" },
    { name: "detach", short: "d", summary: "run in the background; see bot-bottle list active" },
    { name: "keep", summary: "keep home and workspace even when nothing changed" },
    {
      name: "events",
      value: "file",
      completes: "file",
      summary: "write steps and decisions as JSON lines",
    },
    { name: "quiet", short: "q", summary: "no notes of bot-bottle on stderr, only warnings" },
  ],
  examples: [
    {
      command: "bot-bottle start claude --cwd",
      explanation: "Claude Code on a copy of this directory, attached to the terminal",
    },
    {
      command: 'bot-bottle start claude --cwd --headless --prompt "fix the failing test"',
      explanation: "unattended; the work is kept and shown how to bring back",
    },
    {
      command: "bot-bottle start claude --headless -- npm test",
      explanation: "run a program in the agent's bottle",
    },
    {
      command: "bot-bottle start claude --dry-run --json",
      explanation: "the whole plan, without secret values",
    },
  ],
  run: runStart,
};

async function runStart(parsed: ParsedArgs, io: CommandIo): Promise<number> {
  const { flags } = parsed;
  const isHeadless = isSet(flags, "headless");
  const request = startOptions(parsed, io);
  refuseJson(parsed, io);
  if (request.copyCwd && io.env.isCwdGone) throw cwdGone();
  const bottles = flagList(flags, "bottle");
  const confirm = confirmOnTerminal(io, { isHeadless, isYes: isSet(flags, "yes") });
  const planRequest: PlanRequest = {
    home: io.env.home,
    userHome: io.env.userHome,
    cwd: io.env.cwd,
    env: io.env.all,
    agent: parsed.args[0] ?? "",
    bottles,
    options: request,
    hasTerminal: hasTerminal() && !isSet(flags, "detach"),
    looksOnly: isDryRun(parsed, io),
    ...(confirm === undefined ? {} : { confirm }),
  };
  await using relays = earlyRelays(parsed, io);
  const planned = await planOrOfferInit(planRequest, isHeadless, io);
  if (isDryRun(parsed, io)) return printPlan(planned, io, isSet(flags, "json"));
  if (!isHeadless && !hasTerminal()) throw noTerminal();
  sayName(planned.plan, io);
  if (isSet(flags, "detach") && !isHeadless) {
    throw new UsageError(
      "usage.invalid",
      "--detach needs --headless: nobody would see the terminal",
      {
        hint: 'add --headless and --prompt "…" or -- and a program',
      },
    );
  }
  return await runOrReplan(planned, planRequest, { parsed, io, relays });
}

/** Plans made again when another start took the label's name between plan and launch: each loser moves one number on. */
const MAX_REPLANS = 8;

interface RunInput {
  readonly parsed: ParsedArgs;
  readonly io: CommandIo;
  readonly relays: Relays | undefined;
}

/** A headless label is made unique; starts at the same moment find that out only when they claim their names. */
async function runOrReplan(
  first: PlannedStart,
  request: PlanRequest,
  { parsed, io, relays }: RunInput,
): Promise<number> {
  let planned = first;
  for (let replans = 0; ; replans += 1) {
    try {
      return await confirmAndRun(planned, parsed, {
        io,
        relays: replans === 0 ? relays : undefined,
      });
    } catch (error) {
      const isTaken = error instanceof LaunchError && error.code === "launch.name-taken";
      const { mode, label } = request.options;
      if (!isTaken || mode !== "headless" || label === undefined || replans === MAX_REPLANS)
        throw error;
      const taken = planned.plan.id;
      planned = await planStart(request);
      // No other start has it: something else does, such as a container of that name.
      if (planned.plan.id === taken) throw error;
    }
    sayName(planned.plan, io);
  }
}

/** Where no question comes before the launch, the relays are opened while the plan is made. */
function earlyRelays(parsed: ParsedArgs, io: CommandIo): Relays | undefined {
  const { flags } = parsed;
  const runsHere = !isDryRun(parsed, io) && !isSet(flags, "detach");
  if (!isSet(flags, "headless") || !runsHere) return undefined;
  const searchPath = io.env.all["PATH"] ?? "";
  return openRelays({ exec: createExec(), searchPath, terminal: "hide" });
}

/** On a fresh machine there is no agent yet: a terminal is offered a first one, anybody else is told how to get it. */
async function planOrOfferInit(
  request: PlanRequest,
  isHeadless: boolean,
  io: CommandIo,
): Promise<PlannedStart> {
  try {
    return await planStart(request);
  } catch (error) {
    await offerInit(error, request.agent, { io, canAsk: !isHeadless });
  }
  return planStart(request);
}

function startOptions(parsed: ParsedArgs, io: CommandIo): StartOptions {
  const { flags, rest } = parsed;
  const isHeadless = isSet(flags, "headless");
  const prompt = flagText(flags, "prompt");
  const label = flagText(flags, "label");
  if (label !== undefined && !/[\p{L}\p{N}]/u.test(label)) {
    throw new UsageError(
      "usage.invalid",
      `--label "${cleanLine(label)}" is no name: it has no letter or digit`,
      {
        hint: "leave it out for a random name",
      },
    );
  }
  if (!isHeadless && prompt !== undefined) {
    throw new UsageError("usage.invalid", "--prompt goes with --headless", {
      hint: "add --headless",
    });
  }
  return {
    backend: chosenBackend(parsed, io),
    copyCwd: isSet(flags, "cwd"),
    label,
    color: flagText(flags, "color"),
    mode: isHeadless ? "headless" : "attached",
    prompt,
    command: rest,
    allow: flagList(flags, "allow"),
    keep: isSet(flags, "keep"),
  };
}

/** Told only when the agent is known to exist: its name is the likelier mistake. */
function noTerminal(): UsageError {
  return new UsageError(
    "usage.not-a-terminal",
    "no terminal is attached, and the start is not headless",
    { hint: 'add --headless and --prompt "…" or -- and a program' },
  );
}

/** stdout is the program's while it runs here. */
function refuseJson(parsed: ParsedArgs, io: CommandIo): void {
  const { flags } = parsed;
  const hasOwnStdout = isDryRun(parsed, io) || isSet(flags, "detach");
  if (!isSet(flags, "json") || hasOwnStdout) return;
  throw new UsageError(
    "usage.invalid",
    "--json goes with --dry-run or --detach: here stdout is the program's",
    { hint: "use --events FILE for steps and decisions as JSON lines" },
  );
}

/** A label that is no name as it stands, or one that is taken, becomes another. */
function sayName({ label, id }: BottlePlan, { output }: CommandIo): void {
  if (label === undefined || label === id) return;
  output.note(`bot-bottle: the bottle of label "${cleanLine(label)}" is named ${id}`);
}

function isDryRun({ flags }: ParsedArgs, { env }: CommandIo): boolean {
  return isSet(flags, "dry-run") || env.isDryRun;
}

function printPlan({ plan, preview }: PlannedStart, io: CommandIo, isJson: boolean): number {
  const { color } = io.output;
  if (isJson) io.output.json(describePlan(plan, preview));
  else io.output.print([renderPreflight(plan, color), ...renderPreview(preview, color)].join("\n"));
  return 0;
}

/** `?` prompts come before the [y/N], so that an answer is never lost to a typo there. */
async function confirmAndRun(
  { plan }: PlannedStart,
  parsed: ParsedArgs,
  { io, relays }: { readonly io: CommandIo; readonly relays: Relays | undefined },
): Promise<number> {
  const { flags } = parsed;
  const isHeadless = isSet(flags, "headless");
  const secrets = await resolveSecrets(plan.secrets, {
    exec: createExec(),
    env: io.env.all,
    prompt: isHeadless || !hasTerminal() ? undefined : (message) => askSecret(message, io.signal),
  });
  if (isHeadless) {
    for (const warning of plan.warnings) io.output.note(`bot-bottle: ${warning}`);
  } else {
    io.output.note(renderPreflight(plan, io.output.color));
    if (!isSet(flags, "yes") && !(await askYesNo("Start this bottle?", io.signal))) {
      throw new LaunchError("launch.declined", "not started: the answer was no");
    }
  }
  if (isSet(flags, "detach")) {
    const isJson = isSet(flags, "json");
    return detach(plan, secrets, io, { eventsFile: flagText(flags, "events"), isJson });
  }
  const eventsFile = flagText(flags, "events");
  return runBottle(plan, secrets, { io, eventsFile, isHeadless, relays });
}
