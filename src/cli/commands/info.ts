/** `info`: an agent as its files describe it, or a bottle as its record and its owner do. */
import type { Command, CommandIo, ParsedArgs } from "../command.ts";
import { describeAgent, renderAgent } from "../describe-agent.ts";
import { describeBottleInfo, renderBottle } from "../describe-bottle.ts";
import { flagList, isSet } from "../flags/read.ts";
import { resolveSubject } from "../subject.ts";

/** The command `info`. */
export const infoCommand: Command = {
  name: "info",
  summary: "show an agent or a bottle in detail",
  description:
    "An agent: its bottle, variables by name, skills, prompt, commit identity and what it may reach. A bottle: its status, paths, what holds its limits, and how to bring the work back. A bottle's name wins over an agent's.",
  isInterruptible: true,
  args: [
    {
      name: "name",
      summary: "agent, bottle, or a beginning of a bottle's name",
      completes: "subject",
    },
  ],
  flags: [
    {
      name: "bottle",
      value: "name",
      isRepeatable: true,
      completes: "bottle-file",
      summary: "an agent's bottle file instead of its own",
    },
    { name: "json", summary: "print it as JSON" },
  ],
  examples: [
    { command: "bot-bottle info claude", explanation: "what the agent would get" },
    { command: "bot-bottle info claude-x1y2z --json", explanation: "a bottle for scripts" },
  ],
  run: runInfo,
};

async function runInfo({ args, flags }: ParsedArgs, io: CommandIo): Promise<number> {
  const { env, output } = io;
  const subject = await resolveSubject(args[0] ?? "", env);
  if (subject.kind === "bottle") {
    const info = await describeBottleInfo(env.home, subject.name);
    if (isSet(flags, "json")) output.json(info);
    else output.print(renderBottle(info, output.color));
    return 0;
  }
  const info = await describeAgent(subject.name, flagList(flags, "bottle"), env);
  if (isSet(flags, "json")) output.json(info);
  else output.print(renderAgent(info, output.color));
  return 0;
}
