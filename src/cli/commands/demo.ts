/** `demo`: a bottle at work, without account or internet. */

import { createKillSet, installKillSet } from "../../process/kill-set.ts";
import { createExec } from "../../process/spawn.ts";
import type { Command, CommandIo, ParsedArgs } from "../command.ts";
import { statusOf } from "../exit.ts";
import { backendFlag, chosenBackend } from "../flags/backend.ts";
import { flagText, isSet } from "../flags/read.ts";
import type { Palette } from "../output.ts";

const AGENTS = ["scripted", "claude", "codex"] as const;

export const demoCommand: Command = {
  name: "demo",
  summary: "see a bottle at work, without account or internet",
  description:
    "Start a bottle from examples/, by default on the best backend of this machine, run an agent on a copy of a small git repository, and show what it did and what the bottle decided. The upstreams are local servers.",
  passesStatus: true,
  args: [],
  flags: [
    {
      name: "agent",
      value: "name",
      choices: AGENTS,
      summary:
        "scripted (default), or the real claude or codex against a local stand-in for its model",
    },
    { ...backendFlag, summary: "backend to use instead of the best one here" },
    {
      name: "without-injection",
      summary: "put a wrong token in: the agent's calls must then fail, and it with them",
    },
    { name: "json", summary: "print the claims and whether they held as JSON" },
  ],
  examples: [
    {
      command: "bot-bottle demo",
      explanation: "the scripted agent; needs no account and no internet",
    },
    {
      command: "bot-bottle demo --agent claude",
      explanation: "the real Claude Code, installed from npm on first use",
    },
    {
      command: "bot-bottle demo --backend docker",
      explanation:
        "in a container; the agents are those of the images, which are built on first use",
    },
  ],
  run: runDemoCommand,
};

async function runDemoCommand(parsed: ParsedArgs, io: CommandIo): Promise<number> {
  const { flags } = parsed;
  const { runDemo } = await import("../../demo/run-demo.ts");
  const killSet = createKillSet();
  using _killSet = installKillSet(killSet);
  const { output } = io;
  const { color } = output;
  const isJson = isSet(flags, "json");
  const tell = (text: string): void => (isJson ? output.note(text) : output.print(text));
  const wanted = flagText(flags, "agent") ?? "scripted";
  const result = await runDemo({
    agent: AGENTS.find((name) => name === wanted) ?? "scripted",
    backend: chosenBackend(parsed, io),
    exec: createExec({ killSet }),
    env: io.env.all,
    signal: io.signal,
    withoutInjection: isSet(flags, "without-injection"),
    say: (who, text) => {
      if (who === "") tell(color.bold(text));
      else tell(`${color.dim(who.padStart(6))} ${color.dim("|")} ${text}`);
    },
  });
  const status = statusOf(result.exit);
  const isGood = result.claims.every((claim) => claim.holds === true);
  if (isJson) {
    const claims = result.claims.map(({ text, holds }) => ({ text, holds: holds ?? null }));
    output.json({ status, claims, model: result.model });
  }
  for (const claim of isJson ? [] : result.claims)
    tell(`${renderVerdict(claim.holds, color)} ${claim.text}`);
  return status === 0 && !isGood ? 1 : status;
}

function renderVerdict(holds: boolean | undefined, color: Palette): string {
  if (holds === undefined) return color.yellow("not shown");
  return holds ? color.green("yes") : color.red("NO ");
}
